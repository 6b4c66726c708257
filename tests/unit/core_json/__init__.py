"""JSON strictly in, one form out, and the digest."""
