"""How often a unit that others overtook is decided anew."""

from __future__ import annotations

MOST_STALE = 5
"""How often a decision is made anew because what it rests on has changed meanwhile."""
