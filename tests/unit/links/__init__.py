"""Tickets of links."""
