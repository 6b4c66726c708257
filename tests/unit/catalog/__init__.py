"""Connectors and providers: loaded, judged, compiled."""
