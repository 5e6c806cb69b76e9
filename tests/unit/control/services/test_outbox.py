"""What is owed is in order, numbered once, and bounded."""

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.errors import UnavailableError
from control.model.policies import Assignment, Outcome
from control.services import outbox
from control.store import policies
from control.store.rows import Tx
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.delivery import OutboxBatch
from tests.unit.control.fleet import enrolled

STREAM = b"s" * 16


def notice() -> m.Notification:
    """Something that waits."""
    return m.Notification(
        notification_id=bytes(16),
        code=words.NotificationCode.RELEASE_AVAILABLE,
        severity=words.Severity.INFO,
        at=1,
    )


def assignment(version: int) -> Assignment:
    """A bundle for `acme/v1`."""
    return Assignment(
        "acme", "v1", version, {}, b"d" * 32, Outcome.WANTED, "", 0, 1, b"b" * (64 + version)
    )


def read(tx: Tx, after: int, limit: int = 10) -> OutboxBatch:
    """Without a witness."""
    return outbox.read_outbox(tx, "acme", "v1", after=after, limit=limit, sign=lambda _: "")


@pytest.fixture
async def _agent(core: Core, world: FakeWorld) -> None:
    await enrolled(core, world, "v1")


@pytest.mark.usefixtures("_agent")
async def test_a_bundle_has_one_id_however_often_it_is_looked_for(core: Core) -> None:
    """A newer one gets the next, and the old id is passed over."""

    def change(tx: Tx) -> list[tuple[int, ...]]:
        outbox.ensure_link(tx, "acme", "v1", STREAM)
        seen: list[tuple[int, ...]] = []
        for version in (1, 1, 2):
            policies.put_assignments(tx, assignment(version))
            seen += [(row.newest,) for row, _ in outbox.enqueue_bundles(tx, "acme", ["v1"])]
        batch = read(tx, 0)
        return [*seen, tuple(e.id for e in batch.entries), (batch.through,)]

    assert await core.store.write(change) == [(1,), (2,), (2,), (2,)]


@pytest.mark.usefixtures("_agent")
async def test_a_bundle_that_was_superseded_is_not_sent_under_the_old_id(
    core: Core,
) -> None:
    """Its successor has an id of its own soon; until then there is a gap, which is told."""

    def change(tx: Tx) -> OutboxBatch:
        outbox.ensure_link(tx, "acme", "v1", STREAM)
        policies.put_assignments(tx, assignment(1))
        outbox.enqueue_bundles(tx, "acme", ["v1"])
        policies.put_assignments(tx, assignment(2))
        return read(tx, 0)

    assert await core.store.write(change) == OutboxBatch(0, 1, ())


@pytest.mark.usefixtures("_agent")
async def test_kinds_are_read_in_the_order_of_their_ids(core: Core) -> None:
    """And no further than asked."""

    def change(tx: Tx) -> list[OutboxBatch]:
        link = outbox.enqueue_message(tx, outbox.ensure_link(tx, "acme", "v1", STREAM), notice())
        policies.put_assignments(tx, assignment(1))
        outbox.enqueue_bundles(tx, "acme", ["v1"])
        link = outbox.ensure_link(tx, "acme", "v1", STREAM)
        outbox.enqueue_message(tx, link, notice())
        return [read(tx, 0), read(tx, 0, 2), read(tx, 2), read(tx, 3)]

    whole, two, rest, nothing = await core.store.write(change)
    names = [entry.name for entry in whole.entries]
    assert names == ["notification", "policy_update", "notification"]
    assert [entry.id for entry in two.entries] == [1, 2]
    assert ([entry.id for entry in rest.entries], two.through, rest.through) == ([3], 2, 3)
    assert nothing == OutboxBatch(3, 3, ())


@pytest.mark.usefixtures("_agent")
async def test_an_agent_that_is_away_is_owed_so_much_and_no_more(core: Core) -> None:
    """Whoever wants to send more is told."""

    def change(tx: Tx) -> None:
        link = outbox.ensure_link(tx, "acme", "v1", STREAM)
        for _ in range(outbox.MAX_WAITING):
            link = outbox.enqueue_message(tx, link, notice())
        with pytest.raises(UnavailableError, match="agent_busy"):
            outbox.enqueue_message(tx, link, notice())

    await core.store.write(change)
