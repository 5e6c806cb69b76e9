"""Alembic's entry: the connection and its transaction are the caller's."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,  # SQLite has it when BEGIN is said aloud; Alembic assumes not
)
context.run_migrations()
