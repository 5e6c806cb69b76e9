"""Tests of the entries of the operation table."""

import pytest

from tests.unit.vault.handlers.conftest import HERE, ROOT
from vault.errors import ValidationError
from vault.handlers.handler import Call, create_or_update
from vault.model.operation import NO_FACTS, Capability, Operation, OperationType, SecretFacts
from vault.model.path import ResourcePath
from vault.model.payloads import Nothing


def call(path: str) -> Call:
    """A call to this place."""
    op = Operation(
        type=OperationType("x"), path=ResourcePath.parse(path), payload=Nothing(), request_id="r",
        credential=None, origin=HERE,
    )  # fmt: skip
    return Call(op, ROOT)


def test_upsert() -> None:
    """`create` where nothing is, `update` where something is."""
    assert create_or_update(NO_FACTS) is Capability.CREATE
    assert create_or_update(SecretFacts(exists=True)) is Capability.UPDATE


def test_the_name_is_the_end_of_the_authorized_path() -> None:
    """So the thing that is changed is the thing that was decided about."""
    assert call("sys/policies/app-read").name == "app-read"
    assert call("sys/policies/app-read").canonical_name == "app-read"


@pytest.mark.parametrize("name", ["App", "app read", "\uff41pp", "\u212aey", "-app"])
def test_a_second_spelling_is_refused(name: str) -> None:
    """A rule about `sys/policies/app` cannot be passed by with `sys/policies/APP`."""
    with pytest.raises(ValidationError):
        _ = call(f"sys/policies/{name}").canonical_name
