"""The break-glass set: who it was made by, how it is shared; never its shares but once."""

from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import asdict

from vault import operations
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.break_glass import BreakGlassState, MakeBreakGlassSet, NewBreakGlassSet
from vault.model.operation import Capability
from vault.model.payloads import Nothing


class BreakGlass(Protocol):
    """Documented at `vault.seal.break_glass.BreakGlassSets`."""

    async def state(self) -> BreakGlassState:
        """See `BreakGlassSets`."""
        ...

    async def create(
        self, shares: int, threshold: int, made_by: str, *, replaces: bool
    ) -> NewBreakGlassSet:
        """See `BreakGlassSets`."""
        ...

    async def revoke(self) -> BreakGlassState:
        """See `BreakGlassSets`."""
        ...


@dataclass(frozen=True)
class BreakGlassHandlers:
    """The handlers of `sys.break_glass.*`."""

    break_glass: BreakGlass

    def handlers(self) -> Handlers:
        """The operations this file serves."""
        return handler_table(
            Handler(
                operations.READ_BREAK_GLASS,
                run=self.read,
                capability=Capability.READ,
            ),
            Handler(
                operations.MAKE_BREAK_GLASS_SET,
                run=self.make,
                capability=Capability.SUDO,
                mutates=True,
                audit_request=asdict,
                audit_response=_made,
            ),
            Handler(
                operations.REVOKE_BREAK_GLASS_SET,
                run=self.revoke,
                capability=Capability.SUDO,
                mutates=True,
                audit_response=asdict,
            ),
        )

    async def read(self, _: Call[Nothing]) -> BreakGlassState:
        """The set in force, and the uses."""
        return await self.break_glass.state()

    async def make(self, call: Call[MakeBreakGlassSet]) -> NewBreakGlassSet:
        """Make a set."""
        asked, who = call.payload, call.identity.name
        return await self.break_glass.create(
            asked.shares, asked.threshold, who, replaces=asked.replaces
        )

    async def revoke(self, _: Call[Nothing]) -> BreakGlassState:
        """Revoke the set in force."""
        return await self.break_glass.revoke()


def _made(result: NewBreakGlassSet) -> object:
    """What a record tells of a set: never its shares."""
    return asdict(result.state)
