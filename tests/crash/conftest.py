"""The databases of the crash tests."""

from tests.postgres import postgres_server

__all__ = ["postgres_server"]
