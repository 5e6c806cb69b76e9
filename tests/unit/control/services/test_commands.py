"""Commands wait durably, for agents that may have them."""

import pytest

from actors.testing import FakeWorld
from control.core import Core
from control.errors import ConflictError, NotFoundError
from control.model.agents import Life
from control.services.commands import COMMAND_LIFETIME, COMMAND_RETENTION
from control.services.event_bus import Topic
from protocols.instant import SECOND
from protocols.link.vocabulary import CommandName
from tests.unit.control.fleet import enrolled


async def test_it_is_told_and_listed(core: Core, world: FakeWorld) -> None:
    """With who asked and until when."""
    await enrolled(core, world, "v1")
    with core.bus.subscribe(Topic.OUTBOX) as heard:
        asked = await core.agents.commands.send_command(
            "acme", "v1", CommandName.RUN_BACKUP, "acme/ann"
        )
        [event], _ = await heard.receive()
    assert (event.vault, event.subject) == ("v1", 1)
    [row] = await core.agents.commands.list_commands("acme", "v1")
    assert row == asked
    assert (row.created_by, row.outcome, row.expires_at) == (
        "acme/ann",
        "",
        world.now() + COMMAND_LIFETIME,
    )


async def test_only_active_agents_are_asked(core: Core, world: FakeWorld) -> None:
    """A locked one would find it when it is enrolled anew, and it was not meant for that."""
    await enrolled(core, world, "v1")
    await core.agents.registry.change_life("acme", "v1", Life.LOCKED, "")
    with pytest.raises(ConflictError):
        await core.agents.commands.send_command("acme", "v1", CommandName.RUN_BACKUP, "x")
    with pytest.raises(NotFoundError):
        await core.agents.commands.send_command("acme", "v2", CommandName.RUN_BACKUP, "x")
    assert await core.agents.commands.list_commands("acme", "v1") == []


async def test_old_ones_go(core: Core, world: FakeWorld) -> None:
    """A month after they expired."""
    await enrolled(core, world, "v1")
    await core.agents.commands.send_command("acme", "v1", CommandName.RUN_BACKUP, "x")
    world.advance((COMMAND_LIFETIME + COMMAND_RETENTION) / SECOND)
    await core.agents.commands.delete_older()
    assert len(await core.agents.commands.list_commands("acme", "v1")) == 1
    world.advance(1)
    await core.agents.commands.delete_older()
    assert await core.agents.commands.list_commands("acme", "v1") == []
