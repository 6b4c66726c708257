"""People: what copies are for, approvals for a while, tallies, events in the outbox, and indices for all of it.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add them; rows that exist keep their meaning."""
    op.add_column("card", sa.Column("role", TEXT, nullable=False, server_default="decide"))
    op.create_index("card_person", "card", ["person", "expires"])
    with op.batch_alter_table("outbox") as outbox:
        outbox.add_column(sa.Column("agent", TEXT, nullable=False, server_default=""))
        outbox.add_column(sa.Column("endpoint", TEXT, nullable=False, server_default=""))
        outbox.add_column(sa.Column("told", sa.LargeBinary(), nullable=True))
        outbox.alter_column("token", existing_type=sa.LargeBinary(), nullable=True)
    op.create_table(
        "pass",
        sa.Column("id", TEXT, primary_key=True, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("agent", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("until", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("ended", TEXT, nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("chain", TEXT, nullable=False),
        sa.Column("person", TEXT, nullable=False),
        sa.Column("asked", sa.LargeBinary(), nullable=False),
    )
    op.create_index("pass_digest", "pass", ["digest"])
    op.create_table(
        "tally",
        sa.Column("version", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("times", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("denied", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("denied_at", sa.BigInteger(), nullable=True, autoincrement=False),
        sa.Column("until", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("key", sa.LargeBinary(), primary_key=True, nullable=False),
    )
    op.create_index("tally_until", "tally", ["until"])
    op.create_index(
        "execution_paused",
        "execution",
        ["agent"],
        sqlite_where=sa.text("state = 'paused'"),
        postgresql_where=sa.text("state = 'paused'"),
    )
    op.add_column("audit", sa.Column("told", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "audit_told",
        "audit",
        ["execution"],
        sqlite_where=sa.text("told IS true"),
        postgresql_where=sa.text("told IS true"),
    )
