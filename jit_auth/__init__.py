"""jit_auth: a human-in-the-loop, just-in-time authorization engine for AI agents."""

__version__ = "0.1.0"
