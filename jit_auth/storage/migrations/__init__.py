"""Revisions of the schema, run by alembic where a database is older than `schema.HEAD`."""
