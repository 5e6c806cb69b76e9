"""Databases and directories whose users are rotated and leased; a library is imported with its kind."""
