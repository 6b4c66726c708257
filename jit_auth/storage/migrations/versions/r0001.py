"""The first schema.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "ask",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("execution", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("agent", TEXT, nullable=False),
        sa.Column("provider", TEXT, nullable=True),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("new_agent", sa.Boolean(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("expires", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("scopes", TEXT, nullable=False),
        sa.Column("person", TEXT, nullable=False),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ask_execution", "ask", ["execution"])
    op.create_index(
        "ask_open",
        "ask",
        ["agent", "person", "provider"],
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "audit",
        sa.Column("writer", TEXT, primary_key=True, nullable=False),
        sa.Column("seq", sa.BigInteger(), primary_key=True, nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("person", TEXT, nullable=True),
        sa.Column("agent", TEXT, nullable=True),
        sa.Column("execution", TEXT, nullable=True),
        sa.Column("what", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "card",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("ask", TEXT, nullable=False),
        sa.Column("execution", TEXT, nullable=False),
        sa.Column("via", TEXT, nullable=False),
        sa.Column("ref", TEXT, nullable=True),
        sa.Column("shown", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("due", sa.BigInteger(), nullable=True, autoincrement=False),
        sa.Column("tries", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("expires", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("process", TEXT, nullable=True),
        sa.Column("person", TEXT, nullable=False),
    )
    op.create_index("card_ask", "card", ["ask"])
    op.create_index(
        "card_due",
        "card",
        ["due"],
        sqlite_where=sa.text("due IS NOT NULL"),
        postgresql_where=sa.text("due IS NOT NULL"),
    )
    op.create_table(
        "consent",
        sa.Column("grant", TEXT, primary_key=True, nullable=False),
        sa.Column("agent", TEXT, primary_key=True, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("scopes", TEXT, nullable=False),
    )
    op.create_table(
        "epoch",
        sa.Column("id", sa.BigInteger(), primary_key=True, nullable=False, autoincrement=False),
        sa.Column("n", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("bundle", TEXT, nullable=False),
    )
    op.create_table(
        "execution",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("agent", TEXT, nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("grant", TEXT, nullable=True),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("intent", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("process", TEXT, nullable=True),
        sa.Column("deadline", sa.BigInteger(), nullable=True, autoincrement=False),
        sa.Column("due", sa.BigInteger(), nullable=True, autoincrement=False),
        sa.Column("not_after", sa.BigInteger(), nullable=True, autoincrement=False),
        sa.Column("met", sa.BigInteger(), nullable=True, autoincrement=False),
        sa.Column("trouble_since", sa.BigInteger(), nullable=True, autoincrement=False),
        sa.Column("tries", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("created", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("updated", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("expires", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("chain", TEXT, nullable=False),
        sa.Column("person", TEXT, nullable=False),
        sa.Column("open_key", sa.LargeBinary(), nullable=True),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
        sa.Column("told", sa.LargeBinary(), nullable=True),
    )
    op.create_index("execution_agent", "execution", ["agent", "id"])
    op.create_index(
        "execution_due",
        "execution",
        ["due", "state", "process"],
        sqlite_where=sa.text("due IS NOT NULL"),
        postgresql_where=sa.text("due IS NOT NULL"),
    )
    op.create_index(
        "execution_open",
        "execution",
        ["open_key"],
        unique=True,
        sqlite_where=sa.text("open_key IS NOT NULL"),
        postgresql_where=sa.text("open_key IS NOT NULL"),
    )
    op.create_table(
        "flow",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("ask", TEXT, nullable=False),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("cookie", TEXT, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("scopes", TEXT, nullable=False),
        sa.Column("person", TEXT, nullable=False),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
    )
    op.create_index("flow_until", "flow", ["until"])
    op.create_table(
        "grant",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=True, autoincrement=False),
        sa.Column("lifetime", sa.BigInteger(), nullable=True, autoincrement=False),
        sa.Column("refreshable", sa.Boolean(), nullable=False),
        sa.Column("refresher", TEXT, nullable=True),
        sa.Column("refresher_until", sa.BigInteger(), nullable=True, autoincrement=False),
        sa.Column("created", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("updated", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("scopes", TEXT, nullable=False),
        sa.Column("person", TEXT, nullable=False),
        sa.Column("live_key", sa.LargeBinary(), nullable=True),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=True),
    )
    op.create_index(
        "grant_live",
        "grant",
        ["live_key"],
        unique=True,
        sqlite_where=sa.text("live_key IS NOT NULL"),
        postgresql_where=sa.text("live_key IS NOT NULL"),
    )
    op.create_index("grant_person", "grant", ["person", "provider"])
    op.create_table(
        "idem",
        sa.Column("execution", TEXT, nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("scope", sa.LargeBinary(), primary_key=True, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )
    op.create_index("idem_until", "idem", ["until"])
    op.create_table(
        "outbox",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("provider", TEXT, nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("tries", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("until", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("person", TEXT, nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
    )
    op.create_index("outbox_due", "outbox", ["due"])
    op.create_table(
        "person",
        sa.Column("pid", TEXT, primary_key=True, nullable=False),
        sa.Column("look", sa.LargeBinary(), nullable=True),
        sa.Column("key", sa.LargeBinary(), nullable=True),
        sa.Column("id", sa.LargeBinary(), nullable=True),
    )
    op.create_index("person_look", "person", ["look"], unique=True)
    op.create_table(
        "process",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("keys", TEXT, nullable=False),
    )
    op.create_table(
        "secret",
        sa.Column("name", TEXT, primary_key=True, nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "stop",
        sa.Column("kind", TEXT, primary_key=True, nullable=False),
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("who", TEXT, nullable=False),
        sa.Column("why", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "vote",
        sa.Column("ask", TEXT, primary_key=True, nullable=False),
        sa.Column("verdict", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("seen", TEXT, nullable=False),
        sa.Column("how", TEXT, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("person", TEXT, primary_key=True, nullable=False),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
    )
