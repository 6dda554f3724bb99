"""Routers and floating IPs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "routers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("gateway_port_id", sa.String(), nullable=True),
        sa.Column("enable_snat", sa.Boolean(), nullable=False),
        sa.Column("routes", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["gateway_port_id"], ["ports.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_routers_project_id", "routers", ["project_id"])
    op.create_index("ix_routers_gateway_port_id", "routers", ["gateway_port_id"])
    op.create_table(
        "floating_ips",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("floating_network_id", sa.String(), nullable=False),
        sa.Column("floating_port_id", sa.String(), nullable=False),
        sa.Column("floating_ip_address", sa.String(), nullable=False),
        sa.Column("port_id", sa.String(), nullable=True),
        sa.Column("fixed_ip_address", sa.String(), nullable=True),
        sa.Column("router_id", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["floating_network_id"], ["networks.id"]),
        sa.ForeignKeyConstraint(["floating_port_id"], ["ports.id"]),
        sa.ForeignKeyConstraint(["port_id"], ["ports.id"]),
        sa.ForeignKeyConstraint(["router_id"], ["routers.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("port_id", "fixed_ip_address"),
    )
    for column in ("project_id", "floating_network_id", "floating_port_id", "router_id"):
        op.create_index(f"ix_floating_ips_{column}", "floating_ips", [column])
