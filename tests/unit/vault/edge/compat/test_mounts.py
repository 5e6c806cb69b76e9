"""Tests of the mount calls."""

import pytest

from tests.unit.vault.edge.compat.conftest import MOUNTS, Wire
from vault.errors import AuthorizationError, NotFoundError
from vault.model.payloads import WriteMount

PREFLIGHT = (
    "preflight capability check returned 403, please ensure client's policies grant access "
    'to path "secret/x/"'
)
MISSING = NotFoundError("mount_not_found", "no")


async def test_list_auth(wire: Wire) -> None:
    """Tokens."""
    wire.gate.answers["auth.mount.list"] = []
    assert set((await wire.ask("GET", "sys/auth")).json["data"]) == {"token/"}
    assert wire.last.path == "sys/auth"


@pytest.mark.parametrize(
    ("body", "version"),
    [
        ({"type": "kv"}, 1),
        ({"type": "generic"}, 1),
        ({"type": "kv-v2"}, 2),
        ({"type": "kv", "options": {"version": "2"}}, 2),
        ({"type": "kv", "options": {"version": 1}}, 1),
        ({"type": "kv", "options": None, "config": {"max_lease_ttl": "0s", "options": None}}, 1),
    ],
)
async def test_enable(wire: Wire, body: dict[str, object], version: int) -> None:
    """A `kv` without a version is version 1, as ever."""
    wire.gate.answers["mount.write"] = None
    assert (await wire.ask("POST", "sys/mounts/a/b", body | {"description": "d"})).status == 204
    assert wire.last.path == "sys/mounts/a/b"
    assert wire.last.payload == WriteMount(version=version, description="d")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"type": "pki"},
        {"type": "kv", "options": {"version": "3"}},
        {"type": "kv", "config": {"max_lease_ttl": "soon"}},
    ],
)
async def test_what_is_not_mounted(wire: Wire, body: object) -> None:
    """Other engines, unknown versions, and leases that are none."""
    assert (await wire.ask("POST", "sys/mounts/a", body)).status == 400
    assert wire.gate.asked == []


async def test_tune_nothing(wire: Wire) -> None:
    """400."""
    wire.gate.answers["mount.tune"] = MISSING
    answer = await wire.ask("POST", "sys/mounts/no/tune", {})
    assert (answer.status, answer.errors) == (
        400, ['tune of path "no/" failed: no mount entry found'],
    )  # fmt: skip


@pytest.mark.parametrize("error", [MISSING, AuthorizationError("permission_denied", "no")])
async def test_preflight_for_others(wire: Wire, error: Exception) -> None:
    """No mount and no right are told alike."""
    wire.gate.answers["mount.preflight"] = error
    answer = await wire.ask("GET", "sys/internal/ui/mounts/secret/x/")
    assert answer.status == 403
    assert answer.json == {"errors": [PREFLIGHT]}


async def test_visible(wire: Wire) -> None:
    """What the caller may use; nothing for who has no token."""
    wire.gate.answers |= {"mount.visible": [MOUNTS[0]], "auth.mount.visible": []}
    data = (await wire.ask("GET", "sys/internal/ui/mounts")).json["data"]
    assert (set(data["secret"]), set(data["auth"])) == (
        {"cubbyhole/", "secret/", "sys/"},
        {"token/"},
    )
    wire.token = ""
    data = (await wire.ask("GET", "sys/internal/ui/mounts")).json["data"]
    assert data == {"auth": {}, "secret": {}}
