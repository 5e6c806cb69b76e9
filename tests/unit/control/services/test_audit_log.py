"""The chain shows whoever edits, drops or inserts a record."""

from typing import Any

import pytest
import sqlalchemy as sa

from control.core import Core
from control.model.operation import Operation, Origin
from control.model.people import PLATFORM
from control.services import audit_log
from control.store.audit_records import EventFilter
from control.store.rows import Tx
from control.store.tables import audit
from tests.unit.control.conftest import ROOT


async def written(core: Core, org: str = "acme", count: int = 5) -> None:
    """Some records."""
    op = Operation(name="t.op", request_id="r", credential=None, origin=Origin(), org=org)
    for _ in range(count):
        await core.audit.log.record(op, None, "outcome", "ok")


async def test_each_organization_has_its_own(core: Core) -> None:
    """Numbered from 1 without a gap; what has no organization is the platform's."""
    await written(core)
    await written(core, "nowhere", 2)
    await written(core, "", 1)
    assert [e.seq for e in await core.audit.log.newest_events("acme", 0, 3)] == [5, 4, 3]
    assert [e.seq for e in await core.audit.log.newest_events("acme", 2, 3)] == [1]
    verdict = await core.audit.log.verify_chain("acme")
    assert (verdict.size, verdict.broken_at) == (5, 0)
    assert (await core.audit.log.verify_chain(PLATFORM)).size == 3


async def test_no_path_keeps_its_refusal_off_the_record(core: Core) -> None:
    """A NUL in it, which PostgreSQL takes in no text, or any length: it is there, legibly."""
    for org, target in (("acme", "a\0b" + "c" * 5000), ("\0", "x")):
        op = Operation(
            name="t.op", request_id="r", credential=None, origin=Origin(), org=org, target=target
        )
        await core.audit.log.record(op, None, "outcome", "denied")
    [event] = await core.audit.log.newest_events("acme", 0, 9)
    assert event.target == "a\ufffdb" + "c" * 1021
    assert (await core.audit.log.newest_events(PLATFORM, 0, 9))[0].target == "x"
    assert (await core.audit.log.verify_chain("acme")).broken_at == 0


@pytest.mark.parametrize(
    "tampering",
    [
        audit.update().where(audit.c.seq == 3).values(actor="mallory"),
        audit.delete().where(audit.c.seq == 3),
        audit.update().where(audit.c.seq == 3).values(hash=b"\0" * 32),
    ],
)
async def test_tampering_breaks_it(
    core: Core, tampering: sa.Update, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the record that was touched, also over pages."""
    monkeypatch.setattr(audit_log, "PAGE", 2)
    await written(core)

    def change(tx: Tx) -> None:
        tx.execute(tampering)

    await core.store.write(change)
    assert (await core.audit.log.verify_chain("acme")).broken_at == 3


async def test_one_finds_what_one_looks_for(core: Core) -> None:
    """By each field, several at once; a beginning is taken as it is written."""

    def op(name: str, target: str) -> Operation:
        return Operation(
            name=name, request_id=f"r-{target}", credential=None, origin=Origin("10.0.0.1"),
            org="acme", target=target,
        )  # fmt: skip

    for name, target, result in (
        ("users.create", "ann", "ok"), ("users.delete", "a%n", "denied"), ("tokens.x", "a_n", "ok"),
    ):  # fmt: skip
        code = "c" if target == "ann" else ""
        await core.audit.log.record(op(name, target), ROOT, "outcome", result, code)

    async def found(**wanted: Any) -> list[str]:
        rows = await core.audit.log.newest_events("acme", 0, 99, EventFilter(**wanted))
        return [row.target for row in rows]

    assert await found() == ["a_n", "a%n", "ann"]
    assert await found(operation="users.") == ["a%n", "ann"]
    assert await found(target="a%") == ["a%n"]
    assert await found(target="a_") == ["a_n"]
    assert await found(result="denied", operation="users.") == ["a%n"]
    assert await found(code="c") == ["ann"]
    assert await found(request_id="r-ann", ip="10.0.0.1", phase="outcome") == ["ann"]
    assert await found(actor="platform/admin", until=1) == []
    assert await found(since=2**62) == []
