"""Databases and directories: their users are rotated and leased. A kind imports its library."""
