"""A message as the body of a request."""
