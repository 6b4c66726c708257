"""Watching: metrics, logs and traces made of what the other parts say they did. They never import it."""

from jit_auth.watch.watch import Watch

__all__ = ["Watch"]
