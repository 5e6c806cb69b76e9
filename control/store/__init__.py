"""The database: SQLAlchemy Core on SQLite or PostgreSQL, behind one asynchronous interface."""
