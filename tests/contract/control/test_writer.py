"""Changes that are made together stay each by itself, on every database."""

from contextlib import nullcontext
from functools import partial

import pytest
import trio
from msgspec.structs import replace

from control.errors import ValidationError
from control.model.agents import Agent, Life, new_agent
from control.store import agents, samples
from control.store.rows import Tx, insert_row
from control.store.store import Store
from control.store.tables import agents as table


def agent(vault: str, **fields: object) -> Agent:
    """An agent with some fields chosen."""
    return replace(new_agent("acme", vault, Life.ACTIVE, now=1), **fields)


@pytest.mark.parametrize("wrong", [{"reason": "a\0b"}, {"reason": "\ud800"}, {"last_seen": 2**63}])
async def test_a_value_that_no_column_holds_fails_alone(
    store: Store, url: str, wrong: dict[str, object]
) -> None:
    """Who brought it is told so; its neighbours are stored, and the writer lives on.

    A NUL is what SQLite holds and PostgreSQL's driver refuses, a long number its server.
    """
    held = "\0" in str(wrong.get("reason")) and url.startswith("sqlite")

    async def bring(number: int) -> None:
        rows = agent(f"good{number}"), agent(f"bad{number}", **wrong)  # of one statement
        with nullcontext() if held else pytest.raises(ValidationError):
            await store.write(lambda tx: insert_row(tx, table, *rows))

    await bring(0)  # alone
    async with trio.open_nursery() as nursery:
        for number in range(1, 20):
            nursery.start_soon(bring, number)
            nursery.start_soon(store.write, partial(_add, agent(f"v{number}")))
    found = await store.read(lambda tx: agents.list_targeted_agents(tx, "acme"))
    assert sum(a.vault.startswith("v") for a in found) == 19
    assert any(a.vault == "good0" for a in found) == held
    [writer] = store.tree().children
    assert writer.restarts == 0


async def test_a_question_that_no_column_answers_is_a_bad_one(store: Store, url: str) -> None:
    """Not a database that is away: whoever asks is told, and need not ask again."""
    with nullcontext() if url.startswith("sqlite") else pytest.raises(ValidationError):
        await store.read(lambda tx: agents.get_agent(tx, "acme", "\0"))
    with pytest.raises(ValidationError):
        await store.read(
            lambda tx: samples.samples_between(tx, 1, 0, since=2**63, until=1, limit=9)
        )


def _add(row: Agent, tx: Tx) -> None:
    agents.add_agent(tx, row)
