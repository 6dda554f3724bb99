"""Servers that move: what a move goes back to, and the numbers of attempts that moves have given out."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("servers", sa.Column("last_attempt", sa.Integer(), nullable=False, server_default="0"))
    kept = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("servers", sa.Column("move", kept, nullable=True))
