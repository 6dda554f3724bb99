"""Migrations by Alembic: from any earlier version's tables to this one's."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import URL, make_url

from infra.db.engine import Database


def upgrade(url: str | URL) -> None:
    """Run what is missing, each migration in its own transaction.

    Raises:
        sqlalchemy.exc.OperationalError: the database can't be reached.
    """
    db = Database(make_url(url))
    try:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["engine"] = db.engine
        command.upgrade(config, "head")
    finally:
        db.close()
