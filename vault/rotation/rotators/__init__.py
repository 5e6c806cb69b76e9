"""The rotators that come with Freehold, one kind a file."""
