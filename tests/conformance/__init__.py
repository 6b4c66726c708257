"""One suite for both databases: whatever the store promises, it promises on SQLite and on PostgreSQL."""
