"""Commands: each module adds its own to the parser; `main` is the list of them."""
