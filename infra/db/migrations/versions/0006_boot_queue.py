"""An index of the servers that are being built."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_BUILDING = sa.text("vm_state = 'building'")


def upgrade() -> None:
    op.create_index(
        "ix_servers_building",
        "servers",
        ["project_id", "host", "updated_at", "id"],
        sqlite_where=_BUILDING,
        postgresql_where=_BUILDING,
    )
