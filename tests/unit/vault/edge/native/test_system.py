"""`/api/v1/system`: the agent itself."""

import json
from typing import Any

import msgspec
import pytest

from actors.tree import MailboxStats, Node
from protocols.instant import SECOND
from vault.model.health import CacheState, HealthState, KeyringState, KeyStatus
from vault.model.link import CentralBundle, LinkNotification, LinkStatus
from vault.model.payloads import TuneMount, WriteMount
from vault.model.records import MountRow
from vault.model.results import RewrapStep

MOUNT = MountRow(path="kv/", id="m", accessor="kv_m", created_at=10**18)


@pytest.mark.parametrize(
    ("path", "asked", "answer", "body"),
    [
        ("seal", ("sys.seal", "sys/seal"), None, None),
        ("rotate", ("sys.rotate", "sys/rotate"), 2, {"generation": 2}),
        (
            "rewrap",
            ("sys.rewrap", "sys/rewrap"),
            RewrapStep(generation=2, moved=7, looked_at=9, complete=False),
            {"versions": 7, "looked_at": 9, "generation": 2, "complete": False},
        ),
        ("retire-keys", ("sys.retire_keys", "sys/retire-keys"), [1], {"generations": [1]}),
    ],
)
async def test_what_changes_keys(
    wire: Any, path: str, asked: tuple[str, str], answer: object, body: object
) -> None:
    """Each is a POST to its own path; a seal is answered once the vault is sealed."""
    wire.gate.answers[asked[0]] = answer
    reply = await wire.ask("POST", f"system/{path}")
    assert wire.asked == asked
    assert wire.gate.waited == (["sealed"] if path == "seal" else [])
    assert (json.loads(reply.body) if reply.body else None) == body


async def test_the_key_is_told_without_the_key(wire: Any) -> None:
    """Generation, age and uses."""
    wire.gate.answers["sys.key_status"] = KeyStatus(
        keyring=KeyringState(
            epoch=3,
            generation=2,
            oldest_generation=1,
            created_at=10**18,
            uses=9,
            reserved_uses=12,
            rotation_due=False,
        ),
        rewrapped=False,
    )
    body = json.loads((await wire.ask("GET", "system/key-status")).body)
    assert body == {
        "epoch": 3, "generation": 2, "created_at": "2001-09-09T01:46:40Z", "uses": 9,
        "reserved_uses": 12, "oldest_generation": 1, "rewrapped": False,
        "rotation_due": False,
    }  # fmt: skip


async def test_the_cache(wire: Any) -> None:
    """The design's words for its settings, seconds on the wire."""
    counts = {"bytes": 7, "entries": 2, "hits": 3, "misses": 1, "evictions": 0, "hit_rate": 75.0}
    wire.gate.answers["sys.cache"] = CacheState(
        eviction_policy="lfu", ttl=300 * 10**9, max_bytes=9, **counts
    )
    told = json.loads((await wire.ask("GET", "system/cache")).body)
    assert told == {"eviction_policy": "lfu", "ttl_seconds": 300.0, "max_bytes": 9} | counts
    assert wire.asked == ("sys.cache", "sys/cache")


async def test_the_actors_are_a_flat_list(wire: Any) -> None:
    """Parents before their children; a supervisor has no mailbox."""
    box = MailboxStats(
        depth=1, bound=8, overflow="wait", waiting=0, dropped=0, refused=0, expired=0, lost=0
    )
    child = Node(name="agent/writer", kind="Writer", state="running", mailbox=box)
    tree = Node(name="agent", kind="unit", state="running", children=(child,))
    wire.gate.answers["sys.tree"] = tree
    actors = json.loads((await wire.ask("GET", "system/actors")).body)["actors"]
    assert [(a["name"], a["mailbox_depth"]) for a in actors] == [
        ("agent", None),
        ("agent/writer", 1),
    ]


async def test_mounts(wire: Any) -> None:
    """Made, read, changed, erased, at the path that policies name."""
    wire.gate.answers |= {f"mount.{verb}": MOUNT for verb in ("write", "read", "tune")}
    wire.gate.answers["mount.list"] = [MOUNT]
    assert (await wire.ask("POST", "system/mounts/kv", {"version": 1})).status == 201
    assert wire.asked == ("mount.write", "sys/mounts/kv")
    assert wire.last.payload == WriteMount(version=1)
    assert json.loads((await wire.ask("GET", "system/mounts/kv/")).body)["path"] == "kv/"
    change = {"max_versions": 3, "delete_version_after": "1h"}
    assert (await wire.ask("PATCH", "system/mounts/kv", change)).status == 200
    assert wire.last.payload == TuneMount(max_versions=3, delete_version_after=3600 * SECOND)
    assert json.loads((await wire.ask("GET", "system/mounts")).body)["mounts"][0]["id"] == "m"
    assert (await wire.ask("DELETE", "system/mounts/kv")).status == 204
    assert (await wire.ask("POST", "system/mounts/kv", {"version": 3})).status == 400


async def test_times_of_the_link_are_read_as_all_others(wire: Any) -> None:
    """RFC 3339, and null for never; the agent's own are numbers."""
    notice = LinkNotification(code="c", severity="warning", at=10**12)
    wire.gate.answers["fleet.link"] = LinkStatus(
        enabled=True, since=10**18, certificate_expires=10**18 + 1, notifications=(notice,)
    )
    body = json.loads((await wire.ask("GET", "system/link")).body)
    assert body["since"] == "2001-09-09T01:46:40Z"
    assert body["certificate_expires"] == "2001-09-09T01:46:40.000000001Z"
    assert (body["connected_at"], body["policy_expires"]) == (None, None)
    assert body["notifications"] == [
        {"code": "c", "severity": "warning", "at": "2001-09-09T01:46:40Z"}
    ]
    assert body.keys() == {field.name for field in msgspec.structs.fields(LinkStatus)}


async def test_times_of_a_bundle_too(wire: Any) -> None:
    """Where it is looked at and where it is dropped."""
    found = CentralBundle(version=3, org="acme", vault="v", expires=10**18, policies=())
    wire.gate.answers |= {"fleet.bundle": found, "fleet.reset": found}
    for method in ("GET", "DELETE"):
        body = json.loads((await wire.ask(method, "system/link/policies")).body)
        assert (body["expires"], body["version"]) == ("2001-09-09T01:46:40Z", 3)


async def test_times_of_the_health_too(wire: Any) -> None:
    """Since when it is open, and of when the key is."""
    none = {field.name: 0 for field in msgspec.structs.fields(HealthState)}
    texts = {"version": "1", "trouble": "", "sinks": (), "disks": (), "rotation_due": False}
    times = {"opened_at": 10**18, "key_created_at": 10**18 + 1}
    wire.gate.answers["sys.health"] = HealthState(**none | texts | times)
    body = json.loads((await wire.ask("GET", "system/health")).body)
    assert body["opened_at"] == "2001-09-09T01:46:40Z"
    assert body["key_created_at"] == "2001-09-09T01:46:40.000000001Z"
    assert body.keys() == none.keys()
