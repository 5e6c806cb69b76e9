"""Whether an identity source still has whom it named; who is gone there loses tokens here."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Protocol

from actors.world import World
from vault import operations
from vault.authn.source_checks import SourceRecords
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.operation import Capability
from vault.model.payloads import CheckSource
from vault.model.records import TokenRow
from vault.model.results import SourceCheck

CONFIRMED: Final = "confirmed"
REFUSED: Final = "refused"
UNUSED: Final = "unused"


class Sources(Protocol):
    """The login methods, asked anew about somebody who has logged in."""

    def confirm(self, token: TokenRow) -> Awaitable[bool]:
        """Whether the source still has whom a token of a login stands for.

        Raises `UnavailableError` when it cannot be asked.
        """
        ...


@dataclass(frozen=True)
class SourceCheckHandlers:
    """The handler of `alias.check_source`, which is background work."""

    records: SourceRecords
    sources: Sources
    world: World

    def handlers(self) -> Handlers:
        """The operation this file serves."""
        return handler_table(
            Handler(
                operations.CHECK_SOURCE,
                run=self.check,
                capability=Capability.UPDATE,
                mutates=True,
                audit_request=lambda payload: {"alias": payload.alias_key},
                audit_response=lambda done: {"outcome": done.outcome, "ended": done.ended},
            )
        )

    async def check(self, call: Call[CheckSource]) -> SourceCheck:
        """Ask the source of an alias.

        Whoever it no longer has loses all tokens of logins at that mount, and what its groups gave.
        A source that does not answer changes nothing: raises `UnavailableError`.
        """
        key = call.payload.alias_key
        token = await self.records.newest_token(key, self.world.now())
        if token is None:
            await self.records.note_unused(key)
            return SourceCheck(UNUSED)
        if await self.sources.confirm(token):
            await self.records.note_confirmed(key, self.world.now())
            return SourceCheck(CONFIRMED)
        return SourceCheck(REFUSED, await self.records.end(key))
