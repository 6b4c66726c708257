"""Cards by e-mail, against a real mail server."""
