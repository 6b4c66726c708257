"""The one model of a card, and the terminal."""
