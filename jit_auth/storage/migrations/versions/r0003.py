"""Sign-in: sessions, linked accounts, mailed codes, passkeys and what they sign; what was done in a person's name.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, TEXT, primary_key=key, nullable=False)


def number(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=null, autoincrement=False)


def sealed(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def upgrade() -> None:
    """Add them; rows that exist keep their meaning."""
    op.create_table(
        "session", text("id", key=True), number("version"), text("how"), text("issuer"), number("at"), number("used"),
        number("until"), text("person"),
    )  # fmt: skip
    op.create_index("session_person", "session", ["person"])
    op.create_index("session_until", "session", ["until"])
    op.create_table("identity", text("id", key=True), number("version"), text("issuer"), number("at"), text("person"))
    op.create_index("identity_person", "identity", ["issuer", "person"], unique=True)
    op.create_table(
        "code", text("id", key=True), number("version"), text("ask"), number("mail"), text("mac"), number("tries"),
        number("sent"), number("until"), text("person"),
    )  # fmt: skip
    op.create_index("code_mail", "code", ["ask", "mail"], unique=True)
    op.create_index("code_person", "code", ["person"])
    op.create_index("code_until", "code", ["until"])
    op.create_table(
        "passkey", text("id", key=True), number("version"), number("counter"), number("created"),
        number("used", null=True), text("person"), sealed("asked"),
    )  # fmt: skip
    op.create_index("passkey_person", "passkey", ["person"])
    op.create_table(
        "challenge", text("id", key=True), number("version"), number("until"), text("person"), sealed("asked")
    )
    op.create_index("challenge_until", "challenge", ["until"])
    op.create_index("execution_person", "execution", ["person", "id"])
