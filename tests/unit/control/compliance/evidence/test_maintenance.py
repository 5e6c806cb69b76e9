"""What agents report of their upkeep."""

from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.compliance.evidence.maintenance import (
    NO_BACKUPS,
    NO_RESTORES,
    NO_ROTATION_POLICIES,
    total_growth,
)
from control.core import Core
from control.model.backups import BackupRecord
from control.model.compliance import Evidence, Result
from control.model.records import Sample
from control.model.reported_values import MAX_COUNT
from control.model.rotations import RotationRecord
from control.model.usage import SecretInventory
from control.services import agent_metrics, key_rotation
from control.store import agents, usage
from control.store.rows import Tx
from control.store.vault_reports import backups, rotations
from protocols.instant import DAY, HOUR, SECOND
from tests.unit.control.fleet import enrolled

Shown = Callable[[], Awaitable[dict[str, Evidence]]]


@pytest.mark.parametrize(
    ("lasts", "growth"),
    [
        ([3, 5, 9], 6), ([3, 5, 2, 4], 6), ([7], 0), ([], 0), ([0, 0], 0),
        ([2**63, 2**62] * 9, MAX_COUNT),  # JSON holds no more than 64 bits
    ],
)  # fmt: skip
def test_a_total_that_begins_anew_goes_on(lasts: list[int], growth: int) -> None:
    """An agent that is started counts from 0."""
    assert total_growth([Sample(n, 1, v, v, v, v) for n, v in enumerate(lasts)]) == growth


async def test_reports_of_agents_are_believed_and_named(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """One makes backups, the other does not; silence is not evidence."""
    await enrolled(core, world, "one", "two")
    for name in ("backups", "rotations", "keys"):
        assert (await shown())[f"upkeep.{name}"].result is Result.NOT_EVIDENCED, name
    assert (await shown())["upkeep.backups"].lacking == NO_BACKUPS
    for hour, count in enumerate((1, 4)):
        at = world.now() // SECOND - 7200 + 3600 * hour

        def ingest(tx: Tx, at: int = at, count: int = count) -> None:
            figures = {"backups": count, "backup_failures": 0}
            agent_metrics.ingest_figures(tx, "acme", "one", at, figures, now=world.now() // SECOND)

        await core.store.write(ingest)
    item = (await shown())["upkeep.backups"]
    assert (item.result, item.exceptions) == (Result.PARTLY, ("two",))
    assert item.figures["backups"] == 3


async def test_nodes_of_a_vault_share_its_backups(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """One of them makes and reports them; only vaults without a proof are named."""
    await enrolled(core, world, "a", "b", "bare")
    assert (await shown())["upkeep.restores"].lacking == NO_RESTORES
    for name in ("a", "b"):
        await core.store.write(lambda tx, n=name: agents.put_vault_id(tx, "acme", n, "shared"))
    now = world.now()
    row = BackupRecord(
        org="acme", vault="b", state="good", newest=now - HOUR, proven=now - HOUR, count=1,
        period=86_400, rto=42, rpo=0, certificate=b"c" * 32, at=now,
    )  # fmt: skip
    await core.store.write(lambda tx: backups.put_records(tx, row))
    found = await shown()
    made, proven = found["upkeep.backups"], found["upkeep.restores"]
    assert (made.result, made.exceptions) == (Result.PARTLY, ("bare",))
    assert (proven.result, proven.exceptions) == (Result.PARTLY, ("bare",))
    assert proven.figures == {"vaults": 2, "told": 1, "proven": 1, "rto": 42}
    assert [proof.value for proof in proven.proofs] == [(b"c" * 32).hex()]
    stale = replace(row, proven=now - 30 * DAY, state="unproven")
    await core.store.write(lambda tx: backups.put_records(tx, stale))
    item = (await shown())["upkeep.restores"]
    assert (item.result, item.exceptions) == (Result.GAP, ("a", "bare"))
    off = replace(row, state="off", newest=0, proven=0, certificate=bytes(32))
    await core.store.write(lambda tx: backups.put_records(tx, off))
    found = await shown()
    assert found["upkeep.backups"].result is Result.NOT_EVIDENCED
    assert found["upkeep.restores"].result is Result.NOT_EVIDENCED


async def test_rotations_are_owed_by_vault(core: Core, world: FakeWorld, shown: Shown) -> None:
    """One without a policy proves nothing; what is overdue or stuck is a gap."""
    await enrolled(core, world, "a", "bare")
    assert (await shown())["upkeep.rotation-debt"].lacking == NO_ROTATION_POLICIES
    names = (
        *("unmanaged", "due", "overdue", "overdue_since", "next_due", "running", "waiting"),
        *("failing", "stuck", "rotated_day", "rotated_month", "leases", "revoking", "irrevocable"),
    )
    row = RotationRecord(
        org="acme", vault="a", counted_at=1, policies=5, notices=(), at=world.now(),
        **dict.fromkeys(names, 0),
    )  # fmt: skip
    await core.store.write(lambda tx: rotations.put_records(tx, row))
    item = (await shown())["upkeep.rotation-debt"]
    assert (item.result, item.exceptions) == (Result.PARTLY, ("bare",))
    await core.store.write(lambda tx: rotations.put_records(tx, replace(row, overdue=2, stuck=1)))
    item = (await shown())["upkeep.rotation-debt"]
    assert (item.result, item.exceptions) == (Result.GAP, ("a", "bare"))
    assert item.figures == {"vaults": 2, "told": 1, "secrets": 5, "owed": 3}


async def test_secrets_that_are_old_are_owed(core: Core, world: FakeWorld, shown: Shown) -> None:
    """As of each agent's newest look; one that tells nothing is named."""
    await enrolled(core, world, "one", "two")
    now = world.now() // SECOND
    look = SecretInventory(
        "acme", "one", at=now, total=5, never_read=0, expired=0, idle=(5, 0, 0, 0, 0, 0, 0),
        age=(2, 0, 0, 0, 2, 0, 1), expires=(0,) * 7, opaque=False,
    )  # fmt: skip
    await core.store.write(lambda tx: usage.put_inventory(tx, look))
    item = (await shown())["upkeep.rotations"]
    assert (item.result, item.exceptions) == (Result.GAP, ("one", "two"))
    assert item.figures == {"secrets": 5, "overdue": 3, "agents": 1, "told": 1}


async def test_a_key_that_was_due_for_days_is_late(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """Changed within hours: fine. Two days later: late, though it is changed now."""
    await enrolled(core, world, "good", "late", "silent")

    async def tell(vault: str, rotations: int, due: int) -> None:
        figures = {"rotations": rotations, "rotations_due": due}
        now = world.now()
        await core.store.write(
            lambda tx: key_rotation.ingest_key_figures(tx, "acme", vault, now, figures, now=now)
        )

    for vault, hours in (("good", 5), ("late", 48)):
        await tell(vault, 0, 1)
        world.advance(hours * 3600)
        await tell(vault, 1, 0)
    world.advance(3600)
    item = (await shown())["upkeep.keys"]
    assert (item.result, item.exceptions) == (Result.PARTLY, ("late", "silent"))
    assert item.figures == {"active": 3, "told": 2, "late": 1, "changed": 2, "unknown": 2}
    assert "1 agent never told of a key" in item.lacking
