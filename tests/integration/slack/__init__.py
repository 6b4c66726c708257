"""Cards in Slack, against a server that behaves as Slack does."""
