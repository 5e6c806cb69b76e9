"""Tests of how paths name secrets."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests.unit.vault.edge.compat.conftest import Wire
from vault.edge.compat.kv import folder_path, is_reserved, kv_value, new_secret_path, secret_path
from vault.errors import AuthorizationError, NotFoundError, ValidationError
from vault.model.operation import Operation
from vault.model.records import MountRow

MakeMount = Callable[..., MountRow]


def test_a_secret_is_named_by_mount_and_path(mount: MakeMount) -> None:
    """The same name as in the native API and in policies."""
    assert secret_path(mount(path="team/blue/"), "app/db") == "team/blue/app/db"
    assert new_secret_path(mount(), "app/db") == "secret/app/db"
    assert folder_path(mount(), "") == "secret/"
    assert folder_path(mount(), "app") == folder_path(mount(), "app/") == "secret/app/"


@pytest.mark.parametrize("path", ["", "app/"])
def test_a_folder_is_no_secret(mount: MakeMount, path: str) -> None:
    """Reading one finds nothing; writing one is the caller's mistake."""
    with pytest.raises(NotFoundError):
        secret_path(mount(), path)
    with pytest.raises(ValidationError, match="ending in '/'"):
        new_secret_path(mount(), path)


@pytest.mark.parametrize("path", ["a//b", "../a", "a/./b"])
def test_ambiguous_paths_are_refused(mount: MakeMount, path: str) -> None:
    """Never repaired: authorization and storage could repair differently."""
    for name in (secret_path, new_secret_path, folder_path):
        with pytest.raises(ValidationError):
            name(mount(), path)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(b'{"a":1}', b'{"a":1}'), (b'"x"', b'{"value":"x"}'), (b"[1]", b'{"value":[1]}'),
     (b"null", b"null")],
)  # fmt: skip
def test_a_value_that_is_no_object_is_put_into_one(value: bytes, shown: bytes) -> None:
    """KV clients expect an object; the native API takes any JSON."""
    assert bytes(kv_value(value)) == shown


def test_reserved_paths() -> None:
    """By the first segment, whole."""
    assert is_reserved("sys/mounts")
    assert is_reserved("auth")
    assert not is_reserved("system/x")


async def test_no_mount_is_told_to_whoever_may_look(wire: Wire) -> None:
    """The others hear 403, so that nobody probes for mounts."""
    wire.gate.answers["mount.preflight"] = NotFoundError("mount_not_found", "no")
    answer = await wire.ask("GET", "nowhere/x")
    assert (answer.status, wire.last.path) == (404, "nowhere/x")
    assert answer.errors == ['no handler for route "nowhere/x". route entry not found.']
    wire.gate.answers["mount.preflight"] = AuthorizationError("permission_denied", "no")
    assert (await wire.ask("GET", "nowhere/x")).status == 403


async def test_a_mount_that_another_agent_has_just_made(wire: Wire) -> None:
    """The first request that asks for it hears of it on its way, and is answered from there."""
    rows = wire.gate.book.list_mounts()
    new = replace(rows[0], path="new/", version=2)

    def resolve(_: Operation) -> MountRow:
        wire.gate.book.replace([*rows, new])
        return new

    wire.gate.answers["mount.preflight"] = resolve
    wire.gate.answers["secret.read"] = NotFoundError("secret_not_found", "no")
    answer = await wire.ask("GET", "new/data/x")
    assert (answer.status, wire.last.name, wire.last.path) == (404, "secret.read", "new/x")
    assert answer.errors == []
