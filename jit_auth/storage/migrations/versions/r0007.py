"""Functions of agents' own: executions that are their agent's turn are open, too. Indexes alone.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """What is over leaves them out, and they have an index of their own; no row changes."""
    op.drop_index("execution_over", "execution")
    over = sa.text("(state NOT IN ('paused', 'released', 'executing'))")
    op.create_index("execution_over", "execution", ["updated", "id"], sqlite_where=over, postgresql_where=over)
    released = sa.text("state = 'released'")
    op.create_index("execution_released", "execution", ["agent"], sqlite_where=released, postgresql_where=released)
