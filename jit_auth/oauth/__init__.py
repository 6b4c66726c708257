"""OAuth as a client: consent round trips, token refresh, revocation. Only `protocol` knows authlib."""
