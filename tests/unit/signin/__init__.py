"""Sign-in as pure functions: the sealed trip, where it may lead, what an issuer may be."""
