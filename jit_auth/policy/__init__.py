"""Policies: TOML rules with typed conditions, compiled when they are loaded, decided without I/O (docs/policies.md)."""
