"""What agents say fills no disk, on every database."""

from control.model.history import Aspect, Turn
from control.model.replays import Numbers, Replay, ReplayAgent, State
from control.store import history, replays
from control.store.rows import Tx
from control.store.store import Store


async def test_there_is_room_for_so_many_replays(store: Store) -> None:
    """The newest of an organization, by count and by agents; what has no room can be removed."""

    def change(tx: Tx) -> None:
        for at, org in ((1, "acme"), (2, "acme"), (3, "other")):
            row = Replay(org, f"r{at}", "p", 1, {}, 0, 1, "ann", at, 9)
            of = [ReplayAgent(org, row.id, v, State.DONE, Numbers(), 1) for v in ("a", "b")]
            replays.add_replay(tx, row, of)

    await store.write(change)
    assert await store.read(lambda tx: replays.beyond(tx, "acme", 2, 4)) == []
    assert await store.read(lambda tx: replays.beyond(tx, "acme", 2, 3)) == [("acme", "r1")]
    gone = await store.read(lambda tx: replays.beyond(tx, "", 1, 99))
    assert gone == [("acme", "r2"), ("acme", "r1")]
    await store.write(lambda tx: replays.remove(tx, gone))
    assert await store.read(lambda tx: replays.beyond(tx, "", 0, 0)) == [("other", "r3")]


async def test_what_an_agent_says_too_often_is_written_over(store: Store) -> None:
    """So many turns an hour; the newest is its last word, behind the one before the one it was."""
    most = history.MOST_AN_HOUR[Aspect.KEY]
    for at in range(1, most + 4):
        for subject in ("loud", "calm")[: 1 + (at == 1)]:
            turn = Turn(org="acme", aspect=Aspect.KEY, subject=subject, at=at, value=str(at))
            await store.write(lambda tx, turn=turn: history.note(tx, [turn]))
    found = await store.read(lambda tx: history.between(tx, "acme", Aspect.KEY, 0, 2**62))
    assert [turn.at for turn in found["loud"]] == [*range(1, most), most + 3]
    assert found["loud"][-1].before == most - 1
    newest = await store.read(lambda tx: history.newest(tx, "acme", Aspect.KEY, "loud"))
    assert newest == found["loud"][-1]
    assert [turn.at for turn in found["calm"]] == [1]
    later = Turn(org="acme", aspect=Aspect.KEY, subject="loud", at=2 * history.HOUR, value="x")
    await store.write(lambda tx: history.note(tx, [later]))
    found = await store.read(lambda tx: history.between(tx, "acme", Aspect.KEY, 0, 2**62))
    assert len(found["loud"]) == most + 1
