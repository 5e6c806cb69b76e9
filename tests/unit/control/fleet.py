"""Agents that are enrolled, in tests."""

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.model.agents import Life, newcomer
from control.store import agents


async def enrolled(
    plane: Plane, world: FakeWorld, *vaults: str, tags: tuple[str, ...] = ()
) -> None:
    """Active agents of `acme`."""
    for vault in vaults:
        row = newcomer("acme", vault, Life.ACTIVE, now=world.now(), tags=tags)
        await plane.store.write(lambda tx, row=row: agents.add_agent(tx, row))
