"""The image that a shelved server was saved as."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("servers", sa.Column("shelved_image_id", sa.String(), nullable=True))
