"""MailHub: a toy OAuth 2.1 provider and a small mail API behind it, for the demo and for first steps."""
