"""What can be called: connectors and providers as data, loaded, judged, compiled."""

from jit_auth.catalog.globs import match

__all__ = ["match"]
