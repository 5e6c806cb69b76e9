"""Reading the fields of a value or a connection: an error names the field and never holds it."""

from vault.rotation.rotator import RotationError, Value


def value_field(value: Value, name: str) -> str:
    """A field of a secret's value. Raises `RotationError` (`value_field_missing`), final."""
    return _field(value, name, "value", "add it to the secret")


def connection_field(connection: Value, name: str) -> str:
    """A field of the connection. Raises `RotationError` (`connection_field_missing`), final."""
    return _field(connection, name, "connection", "add it to the secret that holds the connection")


def _field(fields: Value, name: str, what: str, remedy: str) -> str:
    found = fields.get(name, "")
    if not found:
        raise RotationError(
            f"{what}_field_missing", f"the {what} has no field {name!r}: {remedy}", is_final=True
        )
    return found
