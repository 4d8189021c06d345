"""The log of requests."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "request_log",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("agent", sa.String(64), nullable=False, index=True),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("user", sa.Text, nullable=False, index=True),
        sa.Column("session", sa.Text, nullable=False, index=True),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("finish_reason", sa.String(32)),
        sa.Column("error", sa.String(64)),
        sa.Column("ms", sa.Double, nullable=False),
        sa.Column("tools", sa.Text, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_usd", sa.Double),
        sa.Column("trace_id", sa.String(64), nullable=False),
        sa.Column("messages", sa.Text),
    )
