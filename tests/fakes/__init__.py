"""Real servers that stand in for the outside: providers, an API, a person with a browser."""
