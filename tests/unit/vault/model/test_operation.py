"""vault.model.operation: one thing to do."""

from vault.model.operation import Operation, OperationType, Origin
from vault.model.path import ResourcePath
from vault.model.payloads import WriteSecret


def test_neither_credential_nor_value_is_shown() -> None:
    """By whoever prints it: it is known by its name and its request."""
    op = Operation(
        type=OperationType("secret.write"),
        path=ResourcePath.parse("s/a"), payload=WriteSecret(value=b"canary"),
        request_id="r1", credential="s.token", origin=Origin(ip="10.0.0.1"),
    )  # fmt: skip
    assert repr([op]) == "[Operation(name='secret.write', request_id='r1')]"
