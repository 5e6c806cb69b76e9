"""Alembic's entry: the connection is the caller's, and so is its transaction, DDL and all."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
