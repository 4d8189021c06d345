"""API keys."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("agents", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
        sa.Column("used_at", sa.Double),
        sa.Column("rate", sa.Text),
        sa.Column("tokens", sa.Text),
        sa.Column("usd", sa.Text),
    )
    not_revoked = sa.text("revoked_at IS NULL")
    op.create_index(
        "ix_api_keys_name",
        "api_keys",
        ["name"],
        unique=True,
        sqlite_where=not_revoked,
        postgresql_where=not_revoked,
    )
