"""Who a person is: sign-in by an issuer, sessions, mailed codes, passkeys. Proves, and decides nothing."""
