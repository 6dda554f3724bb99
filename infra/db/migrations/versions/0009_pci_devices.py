"""PCI devices that servers have to themselves, and the terms on which hosts give out their resources.

Columns keep their defaults on the server: workers of the version before still write hosts and claims for a while.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_UNITS = {
    f"{name}_{unit}": 1 for unit in ("min_unit", "step_size") for name in ("vcpus", "memory_mb", "disk_gb", "pcpus")
}
_ADDED = {"hosts": {"pci_used": [], "terms_set": {}, **_UNITS}, "claims": {"pci": []}}


def upgrade() -> None:
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for name, value in columns.items():
                kind = sa.Integer() if value == 1 else _JSON
                batch_op.add_column(sa.Column(name, kind, nullable=False, server_default=str(value)))
