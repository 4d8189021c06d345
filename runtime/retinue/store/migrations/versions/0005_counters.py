"""What callers have used of their limits."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("until", sa.Double, nullable=False, index=True),
    )
