"""What a control plane may ask for: words of a closed list, without arguments, each at most once.

A command is marked begun before it is run. If the agent stops in between, it is reported as failed
and not run again: whoever asked can ask anew. What reaches into the vault (a rotation, a backup)
is refused unless the owner's configuration allows it by name.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from actors import World
from protocols.link import messages as m
from protocols.link.vocabulary import CommandName, CommandOutcome
from vault.control_link.database import LinkDatabase, LinkTx
from vault.control_link.outbox import SqlOutbox
from vault.errors import VaultError

ALWAYS_ALLOWED: Final = frozenset(
    {
        CommandName.SEND_METRICS,
        CommandName.SEND_CHECKPOINT,
        CommandName.SEND_POLICY_STATUS,
        CommandName.RENEW_CERTIFICATE,
    }
)
"""They ask for what the agent does anyway, so nobody has to allow them."""
MILLI: Final = 1_000_000

RunCommand = Callable[[], Awaitable[CommandOutcome | None]]
"""None: it is done."""
StagedCommand = tuple[bytes, str, int, str]


class CommandRunner:
    """Runs what is staged, one after the other."""

    def __init__(
        self,
        *,
        database: LinkDatabase,
        outbox: SqlOutbox,
        runners: Mapping[CommandName, RunCommand],
        allowed: Collection[CommandName],
        world: World,
        on_queued: Callable[[], None],
    ) -> None:
        """`allowed`: beyond the harmless ones. What has no runner is unsupported."""
        self._database = database
        self._outbox = outbox
        self._runners = runners
        self._allowed = ALWAYS_ALLOWED | set(allowed)
        self._world = world
        self._queued = on_queued

    async def run_staged(self) -> None:
        """Run all that are staged. Raises `UnavailableError` when the link's database does."""
        for id_, word, expires_at, state in await self._database.transact(_open):
            if state == "begun":  # we were stopped in it, and do not know how far it came
                outcome = CommandOutcome.FAILED
            else:
                outcome = await self._perform(id_, word, expires_at)
            await self._done(id_, outcome)

    async def _perform(self, id_: bytes, word: str, expires_at: int) -> CommandOutcome:
        name = CommandName(word)
        runner = self._runners.get(name)
        if runner is None:
            return CommandOutcome.UNSUPPORTED
        if name not in self._allowed:
            return CommandOutcome.REFUSED
        if self._world.now() // MILLI >= expires_at:
            return CommandOutcome.EXPIRED
        await self._database.transact(lambda tx: _mark(tx, id_, "begun"))
        try:
            outcome = await runner()
        except VaultError:
            return CommandOutcome.FAILED
        return outcome or CommandOutcome.DONE

    async def _done(self, id_: bytes, outcome: CommandOutcome) -> None:
        result = m.CommandResult(command_id=id_, outcome=outcome, at=self._world.now() // MILLI)

        def change(tx: LinkTx) -> None:
            _mark(tx, id_, "done")
            self._outbox.append_in(tx, result)

        await self._database.transact(change)
        self._queued()


def _open(tx: LinkTx) -> list[StagedCommand]:
    return tx.execute(
        "SELECT id, command, expires_at, state FROM commands WHERE state != 'done' ORDER BY number"
    ).fetchall()


def _mark(tx: LinkTx, id_: bytes, state: str) -> None:
    tx.execute("UPDATE commands SET state = ? WHERE id = ?", [state, id_])
