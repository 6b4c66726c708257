"""OAuth against providers that run: round trips, refreshes, revocations."""
