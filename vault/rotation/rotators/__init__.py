"""The rotators: one file a kind."""
