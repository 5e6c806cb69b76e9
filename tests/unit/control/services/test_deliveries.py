"""Dead letters are looked at, sent again, let go; what is old goes by itself."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control.errors import ConflictError, NotFoundError
from control.model.notices import Delivery, State
from control.services.deliveries import DEAD_RETENTION, SENT_RETENTION
from control.store import channels
from protocols.instant import SECOND
from tests.newest import place_control
from tests.unit.control.services.told import Rig, rig


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Rig]:
    """With a channel and messages `w`, `s`, `d1`, `d2` of it."""
    async with rig(place_control(tmp_path)) as made:
        held = await made.channel("http://127.0.0.1:1/")
        one = held.channel.id
        states = {"w": State.WAITING, "s": State.SENT, "d1": State.DEAD, "d2": State.DEAD}
        for number, (name, state) in enumerate(states.items()):
            ended = 0 if state is State.WAITING else made.world.now()
            row = Delivery("acme", name, one, state, 3, "r", number + 1, 1, ended, 0, ())
            await made.store.write(lambda tx, row=row: channels.add_delivery(tx, row))
        yield made


async def test_pages(there: Rig) -> None:
    """The newest first, by state, by channel, before a time."""
    page = there.parts.deliveries.list_deliveries
    (held,) = await there.parts.channels.list_channels("acme")
    one = held.channel.id
    assert (held.waiting, held.dead) == (1, 2)
    every = await page("acme", channel=one, state=None, before=0, limit=9)
    assert [row.id for row in every] == ["d2", "d1", "s", "w"]
    assert [row.id for row in await there.deliveries(State.DEAD)] == ["d2", "d1"]
    assert [r.id for r in await page("acme", channel="", state=None, before=3, limit=1)] == ["s"]
    assert not await page("acme", channel="other", state=None, before=0, limit=9)
    assert not await page("beta", channel=one, state=None, before=0, limit=9)


async def test_dead_letters_alone_are_replayed_and_let_go(there: Rig) -> None:
    """One begins anew: no attempt counts against it, and it is due now."""
    own = there.parts.deliveries
    again = await own.retry_dead_letter("acme", "d1")
    assert (again.state, again.attempts, again.due_at) == (State.WAITING, 0, there.world.now())
    for name in ("d1", "w", "s"):
        with pytest.raises(ConflictError):
            await own.retry_dead_letter("acme", name)
        with pytest.raises(ConflictError):
            await own.discard_dead_letter("acme", name)
    for org, name in (("beta", "d2"), ("acme", "nobody")):
        with pytest.raises(NotFoundError):
            await own.retry_dead_letter(org, name)
        with pytest.raises(NotFoundError):
            await own.discard_dead_letter(org, name)
    await own.discard_dead_letter("acme", "d2")
    assert {row.id for row in await there.deliveries()} == {"w", "s", "d1"}


async def test_all_of_a_channel(there: Rig) -> None:
    """Its dead letters, no more."""
    (held,) = await there.parts.channels.list_channels("acme")
    assert await there.parts.deliveries.retry_dead_letters("acme", held.channel.id) == 2
    assert {row.state for row in await there.deliveries() if row.id != "s"} == {State.WAITING}


async def test_what_is_old_goes(there: Rig) -> None:
    """What was sent after a month, what is dead after three; what waits stays."""
    there.world.advance(SENT_RETENTION / SECOND + 1)
    await there.parts.deliveries.delete_finished()
    assert {row.id for row in await there.deliveries()} == {"w", "d1", "d2"}
    there.world.advance((DEAD_RETENTION - SENT_RETENTION) / SECOND)
    await there.parts.deliveries.delete_finished()
    assert {row.id for row in await there.deliveries()} == {"w"}
