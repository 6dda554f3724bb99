"""Caches follow hosts by the number of their latest change, not by looking at all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "removed_hosts",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    with op.batch_alter_table("removed_hosts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_removed_hosts_changed"), ["changed"], unique=False)
    with op.batch_alter_table("hosts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("changed", sa.BigInteger(), nullable=False, server_default="0"))
        batch_op.create_index(batch_op.f("ix_hosts_changed"), ["changed"], unique=False)
