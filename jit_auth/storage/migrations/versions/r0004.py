"""History: who a chain of agents began with, and indices by which earlier attempts are counted.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add them; what is on record counts from the first decision on."""
    op.add_column("execution", sa.Column("origin", TEXT, nullable=False, server_default=""))
    # No chain is longer than its one agent yet.
    op.execute(sa.text("UPDATE execution SET origin = agent"))
    op.create_index("execution_same", "execution", ["person", "action", "origin", "id"])
    op.create_index("execution_origin", "execution", ["origin", "action", "id"])
    for state in ("denied", "succeeded"):
        ended = sa.text(f"state = '{state}'")
        op.create_index(
            f"execution_{state}", "execution", ["person", "action", "origin", "updated"],
            sqlite_where=ended, postgresql_where=ended,
        )  # fmt: skip
