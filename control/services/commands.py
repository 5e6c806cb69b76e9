"""Commands for agents: words of a list, without arguments.

An agent may refuse, and reports the outcome.
"""

from typing import Final
from uuid import UUID

from actors import World
from control.errors import ConflictError, NotFoundError
from control.model.agents import Life
from control.model.links import AgentCommand
from control.services import outbox
from control.services.event_bus import Event, EventBus, Topic
from control.store import agents, links
from control.store.rows import Tx
from control.store.store import Store
from protocols.instant import DAY
from protocols.link import messages as m
from protocols.link.vocabulary import CommandName

COMMAND_LIFETIME: Final = DAY
"""An agent that comes back later does not do it any more."""
COMMAND_RETENTION: Final = 30 * DAY
PAGE: Final = 100
_MILLI: Final = 10**6


class Commands:
    """Sends commands, and lists them."""

    def __init__(self, store: Store, bus: EventBus, world: World) -> None:
        self._store = store
        self._bus = bus
        self._world = world

    async def send_command(self, org: str, vault: str, name: CommandName, by: str) -> AgentCommand:
        """Queue the command for the agent, durably.

        Raises `NotFoundError`, `ConflictError` for an agent that is not active, `UnavailableError`
        when too many wait for it.
        """
        now, fresh = self._world.now(), UUID(self._world.new_id())
        stream = UUID(self._world.new_id()).bytes
        row = AgentCommand(org, fresh.hex, vault, str(name), by, now, now + COMMAND_LIFETIME, "", 0)
        message = m.Command(
            command_id=fresh.bytes, command=name, expires_at=row.expires_at // _MILLI
        )

        def change(tx: Tx) -> int:
            agent = agents.get_agent(tx, org, vault)
            if agent is None:
                raise NotFoundError("not_found", "there is no such agent")
            if agent.life is not Life.ACTIVE:
                raise ConflictError("life_conflict", f"the agent is {agent.life}")
            links.put_command(tx, row)
            return outbox.enqueue_message(
                tx, outbox.ensure_link(tx, org, vault, stream), message
            ).newest

        newest = await self._store.write(change)
        self._bus.publish(Event(Topic.OUTBOX, org, vault, newest))
        return row

    async def list_commands(self, org: str, vault: str) -> list[AgentCommand]:
        """Commands of an agent, the newest first."""
        return await self._store.read(lambda tx: links.list_commands(tx, org, vault, PAGE))

    async def delete_older(self) -> None:
        """Delete old commands."""
        before = self._world.now() - COMMAND_RETENTION
        await self._store.write(lambda tx: links.delete_older_commands(tx, before))
