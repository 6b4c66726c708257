"""The tests; fakes and servers that several of them share live here as modules."""
