"""Attachments say which request holds them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("volume_attachments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("op", sa.String(), nullable=True))
        batch_op.create_index(batch_op.f("ix_volume_attachments_op"), ["op"], unique=False)
