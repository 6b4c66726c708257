"""config.toml: read, judged, resolved."""
