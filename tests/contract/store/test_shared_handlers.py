"""Several agents on one database: what a change depends on is decided in its transaction."""

from typing import Any

import pytest
import trio

from tests.contract.store.agents import ROOT, Agent, Agents, call
from vault.authn import sessions
from vault.authn.sessions import SESSION_CREATE_PATH
from vault.authn.stream_registry import StreamRegistry
from vault.authn.stream_subscriber import StreamSubscriber
from vault.authn.tokens import NewToken
from vault.authz import policy_store
from vault.errors import ConflictError, ValidationError
from vault.model.identity import Identity, Method
from vault.model.payloads import TuneMount, WriteMetadata, WriteSecret
from vault.model.records import TokenRow
from vault.store.table import StoreQuery
from vault.store.tables import MOUNTS, POLICIES, SECRETS, TOKENS

AT_ONCE = 3


async def write(agent: Agent, path: str, *, exists: bool = False, cas: int | None = None) -> int:
    """A version of a secret; its number."""
    written = await agent.secrets.write(
        call(path, WriteSecret(value=b'{"a":1}', cas=cas), exists=exists)
    )
    return written.version.version


async def both(agents: Agents) -> tuple[Agent, Agent]:
    """Two agents that know of a mount."""
    one, other = await agents.open(), await agents.open()
    await one.mount("m/")
    await other.catch_up()
    return one, other


async def test_a_write_below_a_mount_that_another_agent_has_deleted(agents: Agents) -> None:
    """Its request began before; no secret is left below no mount, where nobody could reach it."""
    one, other = await both(agents)
    await write(one, "m/a")
    await one.mounts.delete(call("sys/mounts/m"))
    assert other.mounts.mounts.get("m/") is not None, "it has not looked since"
    with pytest.raises(ValidationError, match="no mount"):
        await write(other, "m/b")
    with pytest.raises(ValidationError, match="no mount"):
        await other.metadata.write(call("m/c", WriteMetadata(tags=["x"])))
    assert await one.store.select(SECRETS, StoreQuery()) == []


async def test_a_write_goes_by_the_settings_of_its_moment(agents: Agents) -> None:
    """Another agent has asked for check-and-set, and for fewer versions."""
    one, other = await both(agents)
    assert [await write(other, "m/a", exists=n > 0) for n in range(3)] == [1, 2, 3]
    await one.mounts.tune(call("sys/mounts/m", TuneMount(cas_required=True, max_versions=1)))
    with pytest.raises(ValidationError, match="check-and-set"):
        await write(other, "m/a", exists=True)
    assert await write(other, "m/a", exists=True, cas=3) == 4
    row = await other.store.get(SECRETS, "m/a")
    assert row is not None
    assert row.oldest_version == 4


async def test_mounts_that_two_agents_make_at_once(agents: Agents) -> None:
    """One of those that overlap."""
    opened = [await agents.open() for _ in range(3)]
    made: list[str] = []
    refused: list[str] = []

    async def mount(agent: Agent, path: str) -> None:
        try:
            await agent.mount(path)
            made.append(path)
        except ConflictError as error:
            refused.append(error.code)

    async with trio.open_nursery() as nursery:
        for agent, path in zip(opened, ("a/b/", "a/", "a/b/c/"), strict=True):
            nursery.start_soon(mount, agent, path)
    assert len(made) == 1
    assert refused == ["mount_exists"] * 2
    assert [row.path for row in await opened[0].store.select_all(MOUNTS)] == made


async def test_a_mount_that_was_made_anew_is_not_deleted_with_the_old_one(agents: Agents) -> None:
    """An agent that erases a large mount, while another one has done so and made it again."""
    one, other = await both(agents)
    await write(one, "m/a")
    transact, left = other.mounts.store.transact, [1]

    async def overtaken(change: object) -> object:
        if left:
            left.pop()
            await one.mounts.delete(call("sys/mounts/m"))
            await one.mount("m/")
            await write(one, "m/new")
        return await transact(change)  # type: ignore[arg-type]

    other.mounts.store.transact = overtaken  # type: ignore[method-assign,assignment]
    await other.mounts.delete(call("sys/mounts/m"))
    await one.catch_up()
    assert [row.name for row in await one.store.select(SECRETS, StoreQuery())] == ["m/new"]
    assert [row.path for row in await one.store.select_all(MOUNTS)] == ["m/"]
    assert other.mounts.mounts.get("m/") is not None


# Policies.


def policy(name: str, path: str = "m/*") -> dict[str, Any]:
    """The document of one."""
    rule = {"effect": "allow", "paths": [path], "capabilities": ["read"]}
    return {"name": name, "rules": [rule]}


async def test_policies_are_counted_where_they_are_stored(
    agents: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes them at the same time: exactly as many as there may be."""
    monkeypatch.setattr(policy_store, "MAX_POLICIES", 5)
    opened = [await agents.open() for _ in range(AT_ONCE)]
    refused: list[str] = []

    async def put(agent: Agent, number: int) -> None:
        for n in range(4):
            try:
                await agent.policies.put(policy(f"p{number}-{n}"), by=ROOT)
            except ValidationError as error:
                refused.append(error.code)

    async with trio.open_nursery() as nursery:
        for number, agent in enumerate(opened):
            nursery.start_soon(put, agent, number)
    assert len(await opened[0].store.select_all(POLICIES)) == 5
    assert refused == ["policies_full"] * (AT_ONCE * 4 - 5)


async def test_each_agent_goes_by_the_policies_of_all(agents: Agents) -> None:
    """Written, changed and deleted at one of them while the others write their own."""
    opened = [await agents.open() for _ in range(AT_ONCE)]

    async def put(agent: Agent, number: int) -> None:
        for n in range(5):
            await agent.policies.put(policy(f"p{number}-{n}"), by=ROOT)
            await agent.policies.put(policy("same", f"m/{number}/{n}"), by=ROOT)
        await agent.policies.delete(f"p{number}-0", by=ROOT)

    async with trio.open_nursery() as nursery:
        for number, agent in enumerate(opened):
            nursery.start_soon(put, agent, number)
    for agent in opened:
        await agent.catch_up()
    snapshots = [agent.policies.snapshot.policies for agent in opened]
    assert len(snapshots[0]) == 1 + 1 + AT_ONCE * 4
    assert snapshots[0] == snapshots[1] == snapshots[2]
    await opened[0].policies.delete("same", by=ROOT)
    assert opened[1].policies.is_stale is False, "it has not looked since"
    await opened[1].catch_up()
    assert "same" not in opened[1].policies.snapshot.policies


# Credentials.


async def holder_of_root(agent: Agent) -> tuple[Identity, TokenRow]:
    """The first root token, and whom it stands for."""
    [row] = await agent.store.select_all(TOKENS)
    identity = await agent.tokens.identity_of(row.accessor)
    assert identity is not None
    return identity, row


async def test_sessions_are_counted_where_they_are_stored(
    agents: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever opens them at the same time: no more than one credential may have."""
    monkeypatch.setattr(sessions, "MOST_OF_TOKEN", 4)
    opened = [await agents.open() for _ in range(AT_ONCE)]
    root, _ = await holder_of_root(opened[0])
    refused: list[str] = []
    new = NewToken(ttl=10**12, explicit_max_ttl=10**12, path=SESSION_CREATE_PATH)

    async def sign_in(agent: Agent) -> None:
        for _ in range(3):
            try:
                await agent.tokens.create(root, new)
            except ConflictError as error:
                refused.append(error.code)

    async with trio.open_nursery() as nursery:
        for agent in opened:
            nursery.start_soon(sign_in, agent)
    assert len(await opened[0].store.select_all(TOKENS)) == 1 + 4
    assert refused == ["sessions_full"] * (AT_ONCE * 3 - 4)


async def test_a_credential_that_was_revoked_at_another_agent(agents: Agents) -> None:
    """It makes nothing at an agent that has not looked yet, and its streams end there."""
    one, other = await agents.open(), await agents.open()
    root, _ = await holder_of_root(other)
    issued = await other.tokens.create(root, NewToken(policies=("default",), ttl=10**12))
    holder = await other.tokens.identity_of(issued.row.accessor)
    assert holder is not None
    watcher = StreamSubscriber(holder, other.tokens, StreamRegistry(), agents.world)
    assert await watcher.is_still_valid()
    await one.tokens.revoke(issued.row)
    with pytest.raises(ValidationError, match="no parent"):
        await other.tokens.create(holder, NewToken())
    assert not await watcher.is_still_valid()
    assert await other.tokens.find_by_accessor(issued.row.accessor) is None


async def test_a_stream_ends_though_nothing_else_looks(agents: Agents) -> None:
    """The agent serves nothing but the stream."""
    one, other = await agents.open(), await agents.open()
    root, _ = await holder_of_root(one)
    issued = await one.tokens.create(root, NewToken(policies=("default",), ttl=10**12))
    await other.catch_up()
    holder = await other.tokens.identity_of(issued.row.accessor)
    assert holder is not None
    assert holder.method is Method.TOKEN
    watcher = StreamSubscriber(holder, other.tokens, StreamRegistry(), agents.world)
    assert await watcher.is_still_valid()
    await one.tokens.revoke(issued.row)
    assert not await watcher.is_still_valid()


# Counters.


async def test_counts_of_all_agents_add_up(agents: Agents) -> None:
    """Flushed at the same time, and read where others have counted, too."""
    opened = [await agents.open() for _ in range(AT_ONCE)]
    await opened[0].mount("m/")
    await opened[0].secrets.write(call("m/a", WriteSecret(value=b"1")))
    head = await opened[0].store.get(SECRETS, "m/a")
    assert head is not None
    _, root = await holder_of_root(opened[0])
    for agent in opened:
        await agent.catch_up()
        assert (await agent.access.get(head.id)).value_reads == 0
        assert (await agent.usage.get(root.accessor)).uses == 0

    async def count(agent: Agent) -> None:
        for _ in range(4):
            for _ in range(5):
                agent.access.count_value_read(head.id)
                agent.access.count_metadata_read(head.id)
                agent.usage.count_use(root.accessor)
            await agent.access.flush()
            await agent.usage.flush()

    async with trio.open_nursery() as nursery:
        for agent in opened:
            nursery.start_soon(count, agent)
    for agent in opened:
        found = await agent.access.get(head.id)
        assert (found.value_reads, found.metadata_reads) == (60, 60)
        assert (await agent.usage.get(root.accessor)).uses == 60
    opened[0].access.count_value_read(head.id)
    await opened[0].access.flush()
    assert [(await agent.access.get(head.id)).value_reads for agent in opened] == [61] * AT_ONCE
