"""A folder for `PYTHONPATH`."""
