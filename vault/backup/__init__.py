"""Backups: the rows of one snapshot, sealed, with a signed manifest (docs/spec/backup.md)."""
