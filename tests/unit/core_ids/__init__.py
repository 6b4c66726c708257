"""Ids of people and of our own."""
