"""What Alembic runs: on the engine it is given, against the tables of ``infra/db/tables``."""

from alembic import context

from infra.db.schema import metadata

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    # SQLite changes tables by making them anew.
    context.configure(connection=connection, target_metadata=metadata(), render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
