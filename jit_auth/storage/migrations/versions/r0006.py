"""What an agent has used, by whom a person was acted for, and the record by time: indexes alone.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add them; no row changes."""
    op.drop_index("execution_person", "execution")
    op.create_index("execution_person", "execution", ["person", "id", "agent", "action", "attempt"])
    sent = sa.text("attempt > 0")
    op.create_index("execution_used", "execution", ["agent", "action", "id"], sqlite_where=sent, postgresql_where=sent)
    op.create_index("audit_at", "audit", ["at"])
