"""The inbox: an effect and its cursor together, once."""

from collections.abc import AsyncIterator

import pytest

from actors.testing import FakeWorld
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.delivery import NO_CURSOR
from protocols.link.errors import InboxFullError
from tests.unit.vault.control_link.samples import fixed
from vault.control_link.database import LinkDatabase, open_link_database
from vault.control_link.inbox import (
    MAX_NOTIFICATIONS,
    MAX_UNANSWERED,
    CosignedCheckpoint,
    SqlInbox,
    read_notifications,
)
from vault.control_link.outbox import SqlOutbox

STREAM = fixed("stream")


def command(number: int) -> m.Command:
    """To rotate."""
    return m.Command(
        command_id=fixed(f"c{number}"), command=words.CommandName.ROTATE_KEK, expires_at=9
    )


def notification(number: int) -> m.Notification:
    """A word for the operator."""
    return m.Notification(
        notification_id=fixed(f"n{number}"),
        code=words.NotificationCode.RELEASE_AVAILABLE,
        severity=words.Severity.INFO,
        at=number,
    )


@pytest.fixture
async def database() -> AsyncIterator[LinkDatabase]:
    """An empty one."""
    async with open_link_database(None, FakeWorld()) as found:
        yield found


async def rows(database: LinkDatabase, table: str) -> int:
    """How many there are."""
    found: int = await database.transact(
        lambda tx: tx.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  # ours
    )
    return found


async def test_an_id_has_its_effect_once(database: LinkDatabase) -> None:
    """Overlapping sessions bring the same id again: nothing happens, and nobody is stirred."""
    stirred: list[int] = []
    inbox = SqlInbox(database, lambda: stirred.append(1))
    assert await inbox.cursor() == NO_CURSOR
    assert await inbox.apply(STREAM, 1, command(1))
    assert not await inbox.apply(STREAM, 1, command(2))
    assert await rows(database, "commands") == 1
    assert (await inbox.cursor()).applied == 1
    assert len(stirred) == 1


async def test_a_skip_moves_the_cursor_alone(database: LinkDatabase) -> None:
    """And another stream begins anew."""
    inbox = SqlInbox(database, lambda: None)
    assert await inbox.apply(STREAM, 7, None)
    assert (await inbox.cursor()).applied == 7
    assert await inbox.apply(fixed("other"), 1, None)
    assert (await inbox.cursor()).stream == fixed("other")


async def test_an_effect_that_fails_moves_no_cursor(database: LinkDatabase) -> None:
    """A message that is none for an agent leaves everything as it was."""
    inbox = SqlInbox(database, lambda: None)
    with pytest.raises(TypeError):
        await inbox.apply(STREAM, 1, m.Ping(number=1))
    assert await inbox.cursor() == NO_CURSOR


async def test_a_newer_bundle_takes_the_place_of_one_that_waits(database: LinkDatabase) -> None:
    """Only the newest is applied."""
    inbox = SqlInbox(database, lambda: None)
    for number in (1, 2):
        await inbox.apply(STREAM, number, m.PolicyUpdate(bundle=bytes([number]) * 65))
    found = await database.transact(
        lambda tx: tx.execute("SELECT signed FROM staged_bundle").fetchall()
    )
    assert found == [(b"\x02" * 65,)]


async def test_a_command_repeated_under_another_id_is_the_same(database: LinkDatabase) -> None:
    """Its own id is what counts."""
    inbox = SqlInbox(database, lambda: None)
    await inbox.apply(STREAM, 1, command(1))
    await inbox.apply(STREAM, 2, command(1))
    assert await rows(database, "commands") == 1


async def test_what_is_kept_is_bounded(database: LinkDatabase) -> None:
    """Notifications, newest first; commands that wait are not among what goes."""
    inbox = SqlInbox(database, lambda: None)
    assert MAX_NOTIFICATIONS + 10 < MAX_UNANSWERED
    for number in range(1, MAX_NOTIFICATIONS + 11):
        await inbox.apply(STREAM, 2 * number, notification(number))
        await inbox.apply(STREAM, 2 * number + 1, command(number))
    told = await database.transact(read_notifications)
    assert len(told) == MAX_NOTIFICATIONS
    assert told[0].at == MAX_NOTIFICATIONS + 10
    assert await rows(database, "commands") == MAX_NOTIFICATIONS + 10
    await database.transact(lambda tx: tx.execute("UPDATE commands SET state = 'done'").rowcount)
    await inbox.apply(STREAM, 10**6, command(0))
    assert await rows(database, "commands") == MAX_NOTIFICATIONS


@pytest.mark.parametrize("answered", [False, True])
async def test_what_waits_for_the_control_plane_is_bounded(
    database: LinkDatabase, *, answered: bool
) -> None:
    """Commands that are not done, or done and not acknowledged: no more, until there is room.

    The cursor stands still, so nothing is lost; what is not answered is taken all the same.
    """
    stirred: list[int] = []
    outbox = SqlOutbox(database, FakeWorld())
    await outbox.open()
    inbox = SqlInbox(database, lambda: stirred.append(1))
    for number in range(1, MAX_UNANSWERED + 1):
        await inbox.apply(STREAM, number, command(number))
    if answered:
        await database.transact(
            lambda tx: tx.execute("UPDATE commands SET state = 'done'").rowcount
        )
        for number in range(MAX_UNANSWERED):
            answer = m.CommandResult(
                command_id=fixed(f"c{number}"), outcome=words.CommandOutcome.DONE, at=1
            )
            await outbox.append(answer if number % 2 else policy_status(number + 1))
    more = MAX_UNANSWERED + 1
    for message in (command(more), m.PolicyUpdate(bundle=bytes(65))):
        with pytest.raises(InboxFullError):
            await inbox.apply(STREAM, more, message)
    assert (await inbox.cursor()).applied == MAX_UNANSWERED
    assert await inbox.apply(STREAM, more, notification(1))
    assert not await inbox.apply(STREAM, more, command(more))  # it has been there
    assert len(stirred) == more
    if answered:
        await outbox.acknowledge(1)
    else:
        await database.transact(
            lambda tx: tx.execute("UPDATE commands SET state = 'done' WHERE number = 1").rowcount
        )
    assert await inbox.apply(STREAM, more + 1, command(more))
    with pytest.raises(InboxFullError):
        await inbox.apply(STREAM, more + 2, command(more + 1))


def policy_status(version: int) -> m.PolicyStatus:
    """What became of a bundle."""
    return m.PolicyStatus(
        version=version,
        bundle_hash=bytes(32),
        phase=words.PolicyPhase.APPLIED,
        reason=words.PolicyReason.NONE,
        narrowed=0,
        at=1,
    )


async def test_the_newest_cosignature_is_kept(database: LinkDatabase) -> None:
    """It says where the next proof starts."""
    inbox = SqlInbox(database, lambda: None)
    assert await inbox.cosigned_checkpoint() == CosignedCheckpoint()
    line = "— witness " + "A" * 102 + "==\n"
    told = m.CheckpointCosignature(size=5, root=bytes(32), cosignature=line)
    await inbox.apply(STREAM, 1, told)
    assert await inbox.cosigned_checkpoint() == CosignedCheckpoint(5, bytes(32), line)
