"""The product from outside: files written by hand, commands, HTTP, links."""
