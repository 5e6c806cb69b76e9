"""Steps of the schema, run by `control.store.migrate`."""
