"""What operators do to a running service: the kill switch, halts, roles."""
