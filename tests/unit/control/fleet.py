"""Agents that are enrolled, in tests."""

from actors.testing import FakeWorld
from control.core import Core
from control.model.agents import Life, new_agent
from control.store import agents


async def enrolled(core: Core, world: FakeWorld, *vaults: str, tags: tuple[str, ...] = ()) -> None:
    """Active agents of `acme`."""
    for vault in vaults:
        row = new_agent("acme", vault, Life.ACTIVE, now=world.now(), tags=tags)
        await core.store.write(lambda tx, row=row: agents.add_agent(tx, row))
