"""config.toml: read, judged, resolved into Settings."""
