"""What comparisons of hosts found and could not put right, and indexes of the rows that operators and the sweeper ask
for: held, stuck and deleted servers, held attachments, and snapshots by status."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_PARTIAL = (
    ("ix_servers_held", "updated_at", "(task_state IS NOT NULL OR op IS NOT NULL)"),
    ("ix_servers_stuck", "id", "stuck_undo IS NOT NULL"),
    ("ix_servers_deleted", "deleted_at", "vm_state = 'deleted'"),
)


def upgrade() -> None:
    op.create_table(
        "drift",
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("host", "position"),
    )
    for name, column, rows in _PARTIAL:
        op.create_index(name, "servers", [column], sqlite_where=sa.text(rows), postgresql_where=sa.text(rows))
    op.create_index("ix_servers_reservation", "servers", ["reservation_id", "project_id"])
    held = sa.text("op IS NOT NULL")
    op.drop_index("ix_volume_attachments_op", "volume_attachments")
    op.create_index(
        "ix_volume_attachments_held", "volume_attachments", ["volume_id"], sqlite_where=held, postgresql_where=held
    )
    op.create_index("ix_volume_snapshots_status", "volume_snapshots", ["status"])
