"""`make demo`: an agent reads mail, then sends one, with a person's consent and another person's approval between."""
