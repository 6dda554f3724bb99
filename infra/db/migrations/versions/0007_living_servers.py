"""An index of the servers that are not deleted: what a project's use of its quota is summed over."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_LIVING = sa.text("vm_state != 'deleted'")


def upgrade() -> None:
    op.create_index("ix_servers_living", "servers", ["project_id"], sqlite_where=_LIVING, postgresql_where=_LIVING)
