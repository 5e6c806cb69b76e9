"""Signed heads, and what they show of a trail that was written anew."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.core import Core
from control.crypto import SigningKey
from control.model.operation import Operation, Origin
from control.model.records import Severity
from control.services.audit_log import append_event, event_hash
from control.services.signed_heads import (
    HEADS_FILE,
    REPLACED,
    SignedHead,
    SignedHeads,
    _subject,
    decode_heads,
    encode_heads,
    signed_bytes,
)
from control.store import audit_records
from control.store.rows import Tx
from control.store.tables import audit
from protocols.errors import TamperedError
from protocols.lockfile import LockFile
from protocols.pki import files
from tests.unit.control.conftest import ROOT


async def note(core: Core, name: str) -> None:
    """One record in acme."""
    op = Operation(name=name, request_id="r", credential=None, origin=Origin("::1"), org="acme")
    await core.audit.log.record(op, ROOT, "outcome", "ok")


def file_of(tmp_path: Path) -> bytes:
    """As it is on the disk."""
    return (tmp_path / "keys" / HEADS_FILE).read_bytes()


async def test_the_file_has_the_newest_head_of_each(core: Core, tmp_path: Path) -> None:
    """Signed, for the owner of the keys alone; written when something changed."""
    await note(core, "a.one")
    await core.audit.signed_heads.save_heads()
    first = decode_heads(file_of(tmp_path), core.audit.signed_heads.public)["acme"]
    await note(core, "a.two")
    await core.audit.signed_heads.save_heads()
    second = decode_heads(file_of(tmp_path), core.audit.signed_heads.public)["acme"]
    assert (first.size, second.size) == (1, 2)
    assert (tmp_path / "keys" / HEADS_FILE).stat().st_mode & 0o077 == 0
    now = await core.audit.signed_heads.sign_head("acme")
    assert (now.size, now.hash) == (second.size, second.hash)
    assert (await core.audit.signed_heads.sign_head("platform")).size == 0


async def test_a_head_that_somebody_wrote_does_not_count(core: Core) -> None:
    """Another organization, size, hash or time than was signed; another key."""
    await note(core, "a.one")
    head, public = await core.audit.signed_heads.sign_head("acme"), core.audit.signed_heads.public
    assert decode_heads(encode_heads([head]), public) == {"acme": head}
    for changed in (
        replace(head, org="other"), replace(head, size=2), replace(head, at=head.at + 1),
        replace(head, hash=bytes(32)), replace(head, signature=bytes(64)),
    ):  # fmt: skip
        with pytest.raises(TamperedError):
            decode_heads(encode_heads([changed]), public)
    for data, key in ((encode_heads([head]), bytes(32)), (b"{}", public), (b"", public)):
        with pytest.raises(TamperedError):
            decode_heads(data, key)


def test_what_is_signed() -> None:
    """As the specification says, to the byte."""
    head = SignedHead("acme", 258, b"h" * 32, 1)
    assert signed_bytes(head) == (
        b"freehold-trail-head-v1\0" + b"\0\0\0\4acme" + b"\0\0\0\0\0\0\1\2" + b"h" * 32
        + b"\0\0\0\0\0\0\0\1"
    )  # fmt: skip


def _anew(tx: Tx, org: str) -> None:
    """Write the chain again with another text in its second record: every hash of it fits."""
    events = audit_records.list_events(tx, org, after=0, limit=99)
    tx.execute(audit.delete().where(audit.c.org == org))
    for event in events:
        append_event(tx, replace(event, operation="a.other") if event.seq == 2 else event)


def _shorter(tx: Tx, org: str) -> None:
    tx.execute(audit.delete().where(audit.c.org == org, audit.c.seq > 2))


def _gone(tx: Tx, org: str) -> None:
    tx.execute(audit.delete().where(audit.c.org == org))


@pytest.mark.parametrize(
    ("change", "broken_at"), [(_anew, 3), (_shorter, 3), (_gone, 1), (None, 0)]
)
async def test_a_trail_is_held_against_its_head(
    core: Core, world: FakeWorld, change: object, broken_at: int
) -> None:
    """Alone such a chain is whole; beside what was signed it is not."""
    for name in ("a.one", "a.two", "a.three"):
        await note(core, name)
    head = await core.audit.signed_heads.sign_head("acme")
    await note(core, "a.later")
    if callable(change):
        await core.store.write(lambda tx: change(tx, "acme"))
    assert (await core.audit.log.verify_chain("acme")).broken_at == 0
    assert (
        await core.audit.log.verify_chain("acme", (head.size, head.hash))
    ).broken_at == broken_at


async def test_an_edit_inside_breaks_the_chain(core: Core) -> None:
    """Without any head."""
    for name in ("a.one", "a.two", "a.three"):
        await note(core, name)
    edit = sa.update(audit).where(audit.c.org == "acme", audit.c.seq == 2).values(actor="x/y")
    await core.store.write(lambda tx: tx.execute(edit) and None)
    assert (await core.audit.log.verify_chain("acme")).broken_at == 2
    [event] = await core.audit.log.events_after("acme", 1, 1)
    assert event_hash(event) != event.hash


@pytest.mark.parametrize("change", [_anew, _shorter, _gone])
async def test_what_was_changed_is_not_signed_over(
    core: Core, tmp_path: Path, change: Callable[[Tx, str], None]
) -> None:
    """Not by this process nor by the next: the file stays, and somebody is told, once."""
    for name in ("a.one", "a.two", "a.three"):
        await note(core, name)
    await core.audit.signed_heads.save_heads()
    kept = decode_heads(file_of(tmp_path), core.audit.signed_heads.public)["acme"]
    await core.store.write(lambda tx: change(tx, "acme"))
    again = SignedHeads(
        core.store, core.agents.alerts, _key(core), tmp_path / "keys" / HEADS_FILE, core.world
    )
    for heads in (core.audit.signed_heads, again, again):
        await note(core, "a.more")
        await heads.save_heads()
    assert decode_heads(file_of(tmp_path), core.audit.signed_heads.public)["acme"] == kept
    told = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert [(alert.code, alert.count) for alert in told] == [("trail_broken", 1)]


async def test_a_trail_that_is_the_signed_one_again_ends_the_alert(
    core: Core, tmp_path: Path
) -> None:
    """Such as one that was put back from a backup; not one of which no signed head is left."""
    for name in ("a.one", "a.two", "a.three"):
        await note(core, name)
    await core.audit.signed_heads.save_heads()
    rows = await core.store.read(lambda tx: list(tx.execute(sa.select(audit)).mappings()))
    await core.store.write(lambda tx: _shorter(tx, "acme"))
    await core.audit.signed_heads.save_heads()

    for alert in await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9):
        await core.agents.alerts.acknowledge_alert("acme", alert.id, "acme/ann")
    await core.audit.signed_heads.save_heads()
    assert await states(core) == ["acknowledged"]

    def put_back(tx: Tx) -> None:
        tx.execute(audit.delete())
        tx.execute(audit.insert(), [dict(row) for row in rows])

    await core.store.write(put_back)
    await core.audit.signed_heads.save_heads()
    assert await states(core) == ["resolved"]


async def test_only_who_has_the_broken_head_ends_the_alert(core: Core, tmp_path: Path) -> None:
    """Another folder, or one whose file was lost, cannot see the break: it goes on, in one row."""
    for name in ("a.one", "a.two", "a.three"):
        await note(core, name)
    await core.audit.signed_heads.save_heads()
    await core.store.write(lambda tx: _anew(tx, "acme"))
    await core.audit.signed_heads.save_heads()
    (tmp_path / "other").mkdir(mode=0o700)
    other = SignedHeads(
        core.store, core.agents.alerts, _key(core), tmp_path / "other" / HEADS_FILE, core.world
    )
    for _ in range(2):
        await other.save_heads()
        assert await states(core) == ["firing"]
    assert other.saved_head("acme") is not None
    started = SignedHeads(
        core.store, core.agents.alerts, _key(core), tmp_path / "keys" / HEADS_FILE, core.world
    )
    for heads in (core.audit.signed_heads, started):
        await heads.save_heads()
    [alert] = await core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert (alert.count, alert.subject) == (1, _subject(started._kept["acme"]))


async def test_an_alert_that_somebody_ended_fires_again(core: Core, tmp_path: Path) -> None:
    """While the break is there: what fires in the database counts, not what a process has said."""
    for name in ("a.one", "a.two"):
        await note(core, name)
    await core.audit.signed_heads.save_heads()
    await core.store.write(lambda tx: _gone(tx, "acme"))
    await core.audit.signed_heads.save_heads()
    await core.agents.alerts.resolve_alerts("acme", ["trail_broken"])
    await core.audit.signed_heads.save_heads()
    assert await states(core) == ["firing"]


async def test_heads_that_were_set_aside_end_their_alert(core: Core, tmp_path: Path) -> None:
    """After a restore that is meant: the person who renames the file says so."""
    path = tmp_path / "keys" / HEADS_FILE
    for name in ("a.one", "a.two", "a.three"):
        await note(core, name)
    await core.audit.signed_heads.save_heads()
    await core.store.write(lambda tx: _shorter(tx, "acme"))
    await core.audit.signed_heads.save_heads()
    lost = path.read_bytes()
    path.unlink()
    for _ in range(2):
        started = SignedHeads(core.store, core.agents.alerts, _key(core), path, core.world)
        await started.save_heads()
        assert await states(core) == ["firing"]
    files.write_atomically(path.with_name(REPLACED), lost, files.SECRET_MODE)
    await started.save_heads()
    assert await states(core) == ["resolved"]


async def test_a_damaged_file_is_told_until_its_own_process_reads_it(
    core: Core, tmp_path: Path
) -> None:
    """Not until another process reads another file."""
    path = tmp_path / "keys" / HEADS_FILE
    await note(core, "a.one")
    await core.audit.signed_heads.save_heads()
    whole = path.read_bytes()
    files.write_atomically(path, b"[]x", files.SECRET_MODE, replace=True)
    again = SignedHeads(core.store, core.agents.alerts, _key(core), path, core.world)
    await again.save_heads()
    (tmp_path / "other").mkdir(mode=0o700)
    other = SignedHeads(
        core.store, core.agents.alerts, _key(core), tmp_path / "other" / HEADS_FILE, core.world
    )
    await other.save_heads()
    assert await states(core, "platform") == ["firing"]
    files.write_atomically(path, whole, files.SECRET_MODE, replace=True)
    await again.save_heads()
    assert await states(core, "platform") == ["resolved"]


async def test_an_alert_of_a_release_before_ends_too(core: Core) -> None:
    """It does not say which head; a break that is still there has an alert of its own."""
    await note(core, "a.one")
    await core.agents.alerts.fire_alerts(
        core.agents.alerts.new_alert("acme", "", "trail_broken", Severity.CRITICAL, "m")
    )
    await core.audit.signed_heads.save_heads()
    assert await states(core) == ["firing"]
    await core.audit.signed_heads.save_heads()
    assert await states(core) == ["resolved"]


async def states(core: Core, org: str = "acme") -> list[str]:
    """Of its alerts."""
    return [
        str(each.state)
        for each in await core.agents.alerts.list_alerts(org, vault="", before=0, limit=9)
    ]


async def test_two_processes_in_one_folder_put_back_no_older_head(
    core: Core, tmp_path: Path
) -> None:
    """Each writes what is newest of both; what changed after the other's head is not signed over.

    Also while the other one is just writing: then it is next time's.
    """
    here, path = core.audit.signed_heads, tmp_path / "keys" / HEADS_FILE
    there = SignedHeads(core.store, core.agents.alerts, _key(core), path, core.world)
    await note(core, "a.one")
    await there.save_heads()
    for name in ("a.two", "a.three"):
        await note(core, name)
    await here.save_heads()
    newest = decode_heads(file_of(tmp_path), here.public)
    assert newest["acme"].size == 3
    await core.store.write(lambda tx: _anew(tx, "acme"))
    await note(core, "a.more")
    await there.save_heads()
    assert decode_heads(file_of(tmp_path), here.public)["acme"] == newest["acme"]
    assert there.saved_head("acme") == newest["acme"]


async def test_a_head_that_was_signed_late_gives_way(core: Core, tmp_path: Path) -> None:
    """A process that hung between its look and its writing finds a newer one in the file."""
    there = SignedHeads(
        core.store, core.agents.alerts, _key(core), tmp_path / "keys" / HEADS_FILE, core.world
    )
    await note(core, "a.one")
    late = await there.sign_head("acme")
    await note(core, "a.two")
    await core.audit.signed_heads.save_heads()
    newest = decode_heads(file_of(tmp_path), core.audit.signed_heads.public)["acme"]
    assert there._merge_into_file({"acme": late})["acme"] == newest
    assert decode_heads(file_of(tmp_path), core.audit.signed_heads.public)["acme"] == newest
    held = LockFile((tmp_path / "keys" / HEADS_FILE).with_suffix(".lock"))
    held.acquire()
    await note(core, "a.three")
    await there.save_heads()
    assert decode_heads(file_of(tmp_path), core.audit.signed_heads.public)["acme"] == newest
    held.release()
    await there.save_heads()
    assert decode_heads(file_of(tmp_path), core.audit.signed_heads.public)["acme"].size == 3


async def test_heads_of_many_organizations_are_read_again(core: Core, tmp_path: Path) -> None:
    """Thousands of them are more than a file of keys may have."""
    path = tmp_path / "keys" / HEADS_FILE
    many = {
        f"org-{n}": core.audit.signed_heads._signed(f"org-{n}", 0, bytes(32)) for n in range(400)
    }
    core.audit.signed_heads._merge_into_file(many)
    assert path.stat().st_size > files.MAX_SIZE
    again = SignedHeads(core.store, core.agents.alerts, _key(core), path, core.world)
    await note(core, "a.one")
    await again.save_heads()
    assert len(decode_heads(file_of(tmp_path), core.audit.signed_heads.public)) == 401


async def test_a_file_that_somebody_wrote_is_not_written_over(core: Core, tmp_path: Path) -> None:
    """It is evidence; the platform's people are told."""
    await note(core, "a.one")
    path = tmp_path / "keys" / HEADS_FILE
    files.write_atomically(path, b"[]x", files.SECRET_MODE, replace=True)
    again = SignedHeads(core.store, core.agents.alerts, _key(core), path, core.world)
    await again.save_heads()
    assert path.read_bytes() == b"[]x"
    [told] = await core.agents.alerts.list_alerts("platform", vault="", before=0, limit=9)
    assert told.code == "trail_broken"


def _key(core: Core) -> SigningKey:
    return core.audit.signed_heads._sign.__self__  # type: ignore[no-any-return,attr-defined]
