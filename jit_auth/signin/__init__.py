"""People sign in: by issuers (OpenID Connect Core 1.0), each trusted for its own domains alone (THREAT_MODEL 27)."""
