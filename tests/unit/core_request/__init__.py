"""The request that leaves."""
