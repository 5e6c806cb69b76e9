"""Tests of the mount calls."""

from collections.abc import Callable

import pytest

from tests.unit.vault.edge.compat.conftest import MOUNTS, Wire
from vault.errors import AuthorizationError, ConflictError, NotFoundError, ValidationError
from vault.model.payloads import TuneMount, WriteMount
from vault.model.records import MountRow

MakeMount = Callable[..., MountRow]
PREFLIGHT = (
    "preflight capability check returned 403, please ensure client's policies grant access "
    'to path "secret/x/"'
)
MISSING = NotFoundError("mount_not_found", "no")


async def test_list(wire: Wire) -> None:
    """With the agent's own; at the top and in `data`."""
    wire.gate.answers["mount.list"] = list(MOUNTS)
    body = (await wire.ask("GET", "sys/mounts")).json
    assert set(body["data"]) == {"secret/", "old/", "team/blue/", "sys/"}
    assert body["secret/"] == body["data"]["secret/"]
    assert body["secret/"]["options"] == {"version": "2"}
    assert body["old/"]["options"] == {"version": "1"}
    assert body["secret/"]["type"] == "kv"


async def test_list_auth(wire: Wire) -> None:
    """Tokens."""
    wire.gate.answers["mount.list"] = []
    assert set((await wire.ask("GET", "sys/auth")).json["data"]) == {"token/"}
    assert wire.last.path == "sys/auth"


async def test_read(wire: Wire, mount: MakeMount) -> None:
    """One mount, and what can be tuned of it."""
    wire.gate.answers["mount.read"] = mount(description="d")
    assert (await wire.ask("GET", "sys/mounts/team/blue/")).json["data"]["description"] == "d"
    assert wire.last.path == "sys/mounts/team/blue"
    assert (await wire.ask("GET", "sys/mounts/secret/tune")).json["data"] == {
        "default_lease_ttl": 2764800, "description": "d", "force_no_cache": False,
        "max_lease_ttl": 2764800, "options": {"version": "2"},
    }  # fmt: skip
    assert wire.last.path == "sys/mounts/secret"


async def test_read_nothing(wire: Wire) -> None:
    """400, in the words that Terraform matches."""
    wire.gate.answers["mount.read"] = MISSING
    answer = await wire.ask("GET", "sys/mounts/no")
    assert (answer.status, answer.errors) == (400, ["No secret engine mount at no/"])
    assert (await wire.ask("GET", "sys/mounts/no/tune")).errors == [
        'cannot fetch sysview for path "no/"'
    ]


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
        {"type": "kv", "config": {"max_lease_ttl": "1h"}},
    ],
)
async def test_what_is_not_mounted(wire: Wire, body: object) -> None:
    """Other engines, unknown versions, and leases that nothing would keep."""
    assert (await wire.ask("POST", "sys/mounts/a", body)).status == 400
    assert wire.gate.asked == []


async def test_enable_where_it_cannot_be(wire: Wire) -> None:
    """In OpenBao's words."""
    wire.gate.answers["mount.write"] = ValidationError("path_reserved", "no")
    assert (await wire.ask("POST", "sys/mounts/sys/x", {"type": "kv"})).errors == [
        'cannot mount "sys/x/"'
    ]
    wire.gate.answers["mount.write"] = ConflictError("mount_exists", "path is already in use at a/")
    answer = await wire.ask("POST", "sys/mounts/a", {"type": "kv"})
    assert (answer.status, answer.errors) == (400, ["path is already in use at a/"])


async def test_tune(wire: Wire) -> None:
    """The CLI sends all fields, most of them empty; absent ones stay."""
    wire.gate.answers["mount.tune"] = None
    body = {"options": None, "default_lease_ttl": "", "description": "x", "max_lease_ttl": ""}
    assert (await wire.ask("POST", "sys/mounts/secret/tune", body)).status == 204
    assert wire.last.payload == TuneMount(description="x")
    assert (await wire.ask("POST", "sys/mounts/secret/tune", {"max_lease_ttl": 5})).status == 400


async def test_upgrade(wire: Wire) -> None:
    """With OpenBao's remark, once."""
    wire.gate.answers["mount.tune"] = None
    body = {"options": {"version": "2"}}
    answer = await wire.ask("POST", "sys/mounts/old/tune", body)
    assert (answer.status, wire.last.payload) == (200, TuneMount(version=2))
    assert "Upgrading mount" in answer.json["warnings"][0]
    assert (await wire.ask("POST", "sys/mounts/secret/tune", body)).status == 204


async def test_tune_nothing(wire: Wire) -> None:
    """400."""
    wire.gate.answers["mount.tune"] = MISSING
    answer = await wire.ask("POST", "sys/mounts/no/tune", {})
    assert (answer.status, answer.errors) == (
        400, ['tune of path "no/" failed: no mount entry found'],
    )  # fmt: skip


async def test_disable(wire: Wire) -> None:
    """204, also where nothing is."""
    for answer in (None, MISSING):
        wire.gate.answers["mount.delete"] = answer
        assert (await wire.ask("DELETE", "sys/mounts/a/b/")).status == 204
        assert wire.last.path == "sys/mounts/a/b"


async def test_preflight(wire: Wire, mount: MakeMount) -> None:
    """Where the path's mount begins and which version it has: the CLI asks before each command."""
    wire.gate.answers["mount.preflight"] = mount()
    data = (await wire.ask("GET", "sys/internal/ui/mounts/secret/deep/er")).json["data"]
    assert wire.last.path == "secret/deep/er"
    assert (data["path"], data["type"], data["options"]) == ("secret/", "kv", {"version": "2"})


@pytest.mark.parametrize("error", [MISSING, AuthorizationError("permission_denied", "no")])
async def test_preflight_for_others(wire: Wire, error: Exception) -> None:
    """No mount and no right are told alike."""
    wire.gate.answers["mount.preflight"] = error
    answer = await wire.ask("GET", "sys/internal/ui/mounts/secret/x/")
    assert answer.status == 403
    assert answer.json == {"errors": [PREFLIGHT]}


async def test_visible(wire: Wire) -> None:
    """What the caller may use; nothing for who has no token."""
    wire.gate.answers["mount.visible"] = [MOUNTS[0]]
    data = (await wire.ask("GET", "sys/internal/ui/mounts")).json["data"]
    assert (set(data["secret"]), set(data["auth"])) == ({"secret/", "sys/"}, {"token/"})
    wire.token = ""
    data = (await wire.ask("GET", "sys/internal/ui/mounts")).json["data"]
    assert data == {"auth": {}, "secret": {}}
