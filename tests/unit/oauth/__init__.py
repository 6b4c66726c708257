"""OAuth as pure functions: requests, replies, credentials."""
