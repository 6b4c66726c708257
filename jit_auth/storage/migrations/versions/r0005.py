"""How far the retention sweep has come, and the index by which it finds what is over.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add them; rows that exist keep their meaning."""
    op.create_table(
        "swept",
        sa.Column("name", TEXT, primary_key=True, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
    )
    over = sa.text("(state NOT IN ('paused', 'executing'))")
    op.create_index("execution_over", "execution", ["updated", "id"], sqlite_where=over, postgresql_where=over)
