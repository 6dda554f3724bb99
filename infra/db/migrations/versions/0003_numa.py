"""CPUs that servers have to themselves, and the NUMA cells they are placed on.

Columns keep their defaults on the server: workers of the version before still write hosts and claims for a while.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_ADDED = {
    "hosts": {"pcpus": 0, "pcpus_capacity": 0, "pcpus_claimed": 0, "numa_used": []},
    "claims": {"pcpus": 0, "numa": []},
}


def upgrade() -> None:
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for name, value in columns.items():
                kind = sa.Integer() if value == 0 else _JSON
                batch_op.add_column(sa.Column(name, kind, nullable=False, server_default=str(value)))
