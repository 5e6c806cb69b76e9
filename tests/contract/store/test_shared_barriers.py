"""Several agents on one database: keys are used, rotated and replaced by one as by the others."""

from itertools import pairwise
from typing import Any

import pytest
import trio

from tests.contract.store.agents import NOW, ROOT_KEY, Agent, Agents, first_rows
from vault.barrier import KEYRING_ROW, SEAL_ROW, VaultTx
from vault.crypto import kek_uses
from vault.crypto.kek_uses import KekUseCounter, UseBlock
from vault.errors import ConflictError, TamperedError, UnavailableError
from vault.handlers.rewrap import KeyRewrapper
from vault.model.records import SystemRow, VersionRow
from vault.store.tables import SYSTEM

WRITES = 12
OTHER_KEY = bytes(range(1, 33))


async def test_two_openings_never_share_a_block_of_key_uses(
    agents: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever seals at the same time: all that was sealed lies in blocks of one agent each."""
    monkeypatch.setattr(kek_uses, "BLOCK", 8)
    add_block, blocks = KekUseCounter.add_block, list[UseBlock]()

    def add(counter: KekUseCounter, block: UseBlock) -> None:
        blocks.append(block)
        add_block(counter, block)

    monkeypatch.setattr(KekUseCounter, "add_block", add)
    opened = [await agents.open() for _ in range(3)]

    async def write(agent: Agent, name: str) -> None:
        for number in range(WRITES):
            await agent.put(name, number + 1, more=number % 3)

    async with trio.open_nursery() as nursery:
        for number, agent in enumerate(opened):
            nursery.start_soon(write, agent, f"{number}-a")
            nursery.start_soon(write, agent, f"{number}-b")
    blocks.sort(key=lambda block: block.start)
    assert all(block.end <= other.start for block, other in pairwise(blocks))
    really = 2 * len(opened) * sum(1 + number % 3 for number in range(WRITES))
    assert sum(block.end - block.start for block in blocks) >= really
    for agent in opened:
        await agent.barrier.store_use_count()
    await opened[0].catch_up()
    assert really <= await opened[0].stored_uses() <= blocks[-1].end


async def test_what_is_given_back_is_nobody_elses(
    agents: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that is sealed gives its rest back unless another one has a block behind it."""
    monkeypatch.setattr(kek_uses, "BLOCK", 100)
    one, other = await agents.open(), await agents.open()
    await one.put("a")
    await other.put("b")
    await one.barrier.store_use_count()
    assert await one.stored_uses() == 200
    await other.barrier.store_use_count()
    assert await other.stored_uses() == 101
    third = await agents.open()
    await third.put("c")
    assert await third.stored_uses() == 201
    await other.barrier.store_use_count()
    await third.catch_up()
    assert await third.stored_uses() == 201, "it is given back once"


async def test_another_agent_seals_with_the_key_of_a_rotation(agents: Agents) -> None:
    """Also where it has not looked since: the transaction finds it out, and nothing is lost."""
    one, other = await agents.open(), await agents.open()
    assert (await other.put("a")).kek_generation == 1
    assert await one.barrier.rotate() == 2
    assert other.barrier.active_generation == 1, "it has not looked yet"
    assert (await other.put("b")).kek_generation == 2
    assert (await one.put("c")).kek_generation == 2
    await one.catch_up()
    for agent in (one, other):
        assert [await agent.read(name) for name in ("a", "b", "c")] == [b'"v"'] * 3


async def test_a_change_whose_keyring_was_replaced_on_its_way_is_run_again(agents: Agents) -> None:
    """Between its capture and its transaction, several times; what it did before is not stored."""
    one, other = await agents.open(), await agents.open()
    await other.put("a")
    commit, left = other.store.commit, [3]

    async def overtaken(change: Any) -> Any:
        if left[0]:
            left[0] -= 1
            await one.barrier.rotate()
        return await commit(change)

    other.store.commit = overtaken  # type: ignore[method-assign,assignment]
    runs: list[int] = []

    def counted(tx: VaultTx) -> int:
        runs.append(1)
        tx.put(SYSTEM, SystemRow(name=f"run-{len(runs)}", value=b"x"))
        return tx.seal("a", 2, b"1")[2]

    assert await other.barrier.transact(counted, max_encryptions=1) == 4
    assert len(runs) > 1
    found = [await other.store.get(SYSTEM, f"run-{n}") for n in range(1, len(runs) + 1)]
    assert [row is not None for row in found] == [False] * (len(runs) - 1) + [True]
    left[0] = 100
    with pytest.raises(UnavailableError, match="keyring_changed") as caught:
        await other.barrier.transact(counted, max_encryptions=1)
    assert caught.value.details["outcome"] == "none"


async def test_one_of_two_rotations_at_once_counts(agents: Agents) -> None:
    """The other one is told; no generation is overwritten, whatever was sealed with it opens."""
    opened = [await agents.open(), await agents.open()]
    made: list[int] = []
    refused: list[str] = []

    async def rotate(agent: Agent) -> None:
        try:
            made.append(await agent.barrier.rotate())
        except ConflictError as error:
            refused.append(error.code)

    for turn in range(3):
        async with trio.open_nursery() as nursery:
            for agent in opened:
                nursery.start_soon(rotate, agent)
        for agent in opened:
            await agent.put(f"{id(agent)}", turn + 1)
    assert sorted(made) == list(range(2, 2 + len(made)))
    assert set(refused) <= {"keyring_changed"}
    assert len(made) + len(refused) == 6
    for reader in opened:
        await reader.catch_up()
        for agent in opened:
            assert [await reader.read(f"{id(agent)}", n) for n in (1, 2, 3)] == [b'"v"'] * 3


async def test_a_read_that_began_before_a_rotation(agents: Agents) -> None:
    """It finds a version of a key that came since: it is no damage, and is opened."""
    one, other = await agents.open(), await agents.open()
    await other.catch_up()
    await one.barrier.rotate()
    await one.put("a")
    assert other.barrier.active_generation == 1
    assert await other.read("a") == b'"v"'


async def test_a_key_that_another_agent_has_retired(agents: Agents) -> None:
    """A cached version under it is looked up again, since it was rewrapped before."""
    one, other = await agents.open(), await agents.open()
    old = await other.put("a")
    await one.catch_up()
    await one.barrier.rotate()
    rewrapper = KeyRewrapper(one.keys)
    while not (await rewrapper.rewrap_next()).complete:
        pass
    assert await rewrapper.retire_old_keys() == [1]
    await other.catch_up()
    assert other.barrier.oldest_generation == 2
    get_cached = other.barrier.get_cached

    def late(*_: object) -> VersionRow:
        other.barrier.get_cached = get_cached
        return old

    other.barrier.get_cached = late  # type: ignore[assignment]  # it is dropped a moment later
    assert await other.read("a") == b'"v"'
    assert (await other.put("a", 2)).kek_generation == 2


async def test_an_older_keyring_that_was_put_back(agents: Agents) -> None:
    """Who can write the database gets nothing sealed under a key of before a rotation."""
    one, other = await agents.open(), await agents.open()
    await one.barrier.rotate()
    await other.put("a")
    [_, old] = first_rows(agents.keyring)
    await one.store.commit(lambda tx: tx.put(SYSTEM, old))
    with pytest.raises(TamperedError, match="put back"):
        await other.put("b")
    await one.store.commit(lambda tx: tx.delete(SYSTEM, KEYRING_ROW))
    with pytest.raises(TamperedError, match="gone"):
        await other.put("b")


def seal_row() -> SystemRow:
    """As a rekey stores it."""
    return SystemRow(name=SEAL_ROW, value=b"{}")


async def test_who_cannot_follow_a_rekey_seals_itself(agents: Agents) -> None:
    """Another agent has the new root key; nothing is sealed or opened as if nothing had been."""
    one, other = await agents.open(), await agents.open()
    sealed: list[str] = []
    other.barrier.on_root_key_changed = lambda: sealed.append("sealed")
    await other.put("a")
    await one.barrier.rekey(OTHER_KEY, seal_row())
    with pytest.raises(UnavailableError, match="root_key_changed") as caught:
        await other.put("b")
    assert "new shares" in caught.value.message
    assert sealed
    with pytest.raises(UnavailableError, match="root_key_changed"):
        await other.catch_up()
    with pytest.raises(UnavailableError, match="root_key_changed"):
        await other.barrier.rotate()
    assert await one.barrier.rotate() == 2, "who has changed it goes on"
    third = await agents.open(OTHER_KEY)
    assert (await third.put("c")).kek_generation == 2


async def test_one_of_two_rekeys_at_once_counts(agents: Agents) -> None:
    """The shares of the other one would open nothing: they are not returned."""
    one, other = await agents.open(), await agents.open()
    await one.barrier.rekey(OTHER_KEY, seal_row())
    with pytest.raises((UnavailableError, ConflictError)):
        await other.barrier.rekey(bytes(32), seal_row())
    stored = await one.store.get(SYSTEM, KEYRING_ROW)
    assert stored is not None
    await agents.open(OTHER_KEY)


async def test_a_damaged_keyring_is_no_rekey(agents: Agents) -> None:
    """Nobody is told to bring shares for what takes a backup."""
    one, other = await agents.open(), await agents.open()
    sealed: list[str] = []
    other.barrier.on_root_key_changed = lambda: sealed.append("sealed")
    row = SystemRow(name=KEYRING_ROW, value=agents.keyring.rotate(NOW).encode(bytes(32)))
    await one.store.commit(lambda tx: tx.put(SYSTEM, row))
    with pytest.raises(TamperedError, match="keyring_tampered"):
        await other.put("a")
    assert not sealed


async def test_keys_are_captured_anew_after_each_change_of_the_keyring(agents: Agents) -> None:
    """Two agents that rotate, retire and write in turns: each value opens at each of them."""
    one, other = await agents.open(), await agents.open()
    for turn in range(1, 5):
        first, second = (one, other) if turn % 2 else (other, one)
        await first.catch_up()
        await first.barrier.rotate()
        await second.put("x", turn)
        assert await second.read("x", turn) == b'"v"'
    for agent in (one, other):
        await agent.catch_up()
        assert [await agent.read("x", n) for n in range(1, 5)] == [b'"v"'] * 4
        assert agent.barrier.epoch == 5
    assert ROOT_KEY == one.barrier.root_key == other.barrier.root_key
