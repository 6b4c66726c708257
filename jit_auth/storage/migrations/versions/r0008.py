"""Tasks: what an execution is part of, as a MAC, and the indices by which a task is counted and listed.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add them; no execution on record is part of a task."""
    op.add_column("execution", sa.Column("task", sa.LargeBinary(), nullable=True))
    counted = sa.text("task IS NOT NULL AND (attempt > 0 OR state IN ('paused', 'executing', 'released'))")
    op.create_index(
        "execution_task", "execution", ["origin", "task", "action", "attempt", "state", "id"],
        sqlite_where=counted, postgresql_where=counted,
    )  # fmt: skip
    listed = sa.text("task IS NOT NULL")
    op.create_index(
        "execution_of_task", "execution", ["agent", "task", "id"], sqlite_where=listed, postgresql_where=listed
    )
