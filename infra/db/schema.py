"""All tables, for migrations and for databases made from nothing."""

import importlib
import pkgutil

from sqlalchemy import MetaData
from sqlmodel import SQLModel

from infra.db import tables
from infra.db.engine import Database


def metadata() -> MetaData:
    """Metadata of every table, whichever modules were imported before."""
    for module in pkgutil.iter_modules(tables.__path__, f"{tables.__name__}."):
        importlib.import_module(module.name)
    return SQLModel.metadata


def create_all(db: Database) -> None:
    metadata().create_all(db.engine)
