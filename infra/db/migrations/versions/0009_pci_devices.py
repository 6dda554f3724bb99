"""PCI devices that servers have to themselves.

Columns keep their defaults on the server: workers of the version before still write hosts and claims for a while.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0007"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_ADDED = {"hosts": "pci_used", "claims": "pci"}


def upgrade() -> None:
    for table, column in _ADDED.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column(column, _JSON, nullable=False, server_default="[]"))
