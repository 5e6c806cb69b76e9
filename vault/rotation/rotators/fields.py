"""Reading the fields of a value or a connection: an error names the field and never holds it."""

from vault.rotation.rotator import RotationError, Value


def value_field(value: Value, name: str) -> str:
    """A field of a secret's value. Raises `RotationError` (`value_field_missing`), final."""
    return _field(value, name, "value_field_missing", "the value", "the secret")


def connection_field(connection: Value, name: str) -> str:
    """A field of the connection. Raises `RotationError` (`connection_field_missing`), final."""
    return _field(
        connection,
        name,
        "connection_field_missing",
        "the connection",
        "the secret that holds the connection",
    )


def _field(fields: Value, name: str, code: str, what: str, where: str) -> str:
    found = fields.get(name, "")
    if not found:
        raise RotationError(code, f"{what} has no field {name!r}: add it to {where}", is_final=True)
    return found
