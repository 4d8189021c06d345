"""Answers that were given, what sessions are to know, and when conversations were used."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answered",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("spender", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False, index=True),
    )
    op.create_table(
        "notes",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False, index=True),
    )
    op.create_table(
        "chores",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("begun_at", sa.Double, nullable=False),
    )
    used_at = sa.Column("used_at", sa.Double, nullable=False, server_default="0", index=True)
    op.add_column("conversations", used_at)
    op.execute("UPDATE conversations SET used_at = created_at")
