"""The product from outside: files written by hand as the contract shows them, commands, HTTP, links."""
