"""Sign-in against issuers that run, honest and hostile."""
