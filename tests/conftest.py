"""What all tests share: a PostgreSQL server for the session, started when a test first asks for it."""

from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]
