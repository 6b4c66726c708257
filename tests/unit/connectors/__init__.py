"""The connectors that are shipped."""
