"""Commands: a closed list, each at most once, and only what the owner allows."""

from collections.abc import AsyncIterator

import pytest

from actors.testing import FakeWorld
from protocols.link import messages as m
from protocols.link.codec import decode_payload
from protocols.link.vocabulary import CommandName, CommandOutcome
from tests.unit.vault.control_link.samples import fixed
from vault.control_link.commands import CommandRunner
from vault.control_link.database import LinkDatabase, open_link_database
from vault.control_link.inbox import SqlInbox
from vault.control_link.outbox import SqlOutbox
from vault.errors import UnavailableError


class Desk:
    """Commands with their inbox and outbox; `ran` is what was run."""

    def __init__(self, database: LinkDatabase, world: FakeWorld) -> None:
        self.database, self.world = database, world
        self.outbox = SqlOutbox(database, world)
        self.inbox = SqlInbox(database, lambda: None)
        self.ran: list[CommandName] = []
        self.fail: Exception | None = None
        self.ids = 0

    def commands(self, *allowed: CommandName) -> CommandRunner:
        """With a runner for all but backups."""

        def runner(name: CommandName):  # type: ignore[no-untyped-def]  # a closure
            async def run() -> None:
                self.ran.append(name)
                if self.fail is not None:
                    raise self.fail

            return run

        names = [name for name in CommandName if name is not CommandName.RUN_BACKUP]
        return CommandRunner(
            database=self.database,
            outbox=self.outbox,
            runners={name: runner(name) for name in names},
            allowed=allowed,
            world=self.world,
            on_queued=lambda: None,
        )

    async def ask(self, name: CommandName, expires: int = 2**60) -> None:
        """Stage one."""
        self.ids += 1
        command = m.Command(command_id=fixed(str(self.ids)), command=name, expires_at=expires)
        await self.inbox.apply(fixed("stream"), self.ids, command)

    async def outcomes(self) -> list[CommandOutcome]:
        """What the control plane is told."""
        batch = await self.outbox.read(0, 1000)
        results = [decode_payload(entry.name, entry.payload) for entry in batch.entries]
        return [result.outcome for result in results if isinstance(result, m.CommandResult)]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """An empty one."""
    world = FakeWorld()
    async with open_link_database(None, world) as database:
        made = Desk(database, world)
        await made.outbox.open()
        yield made


async def test_the_harmless_are_run_and_the_others_need_leave(desk: Desk) -> None:
    """A rotation only if the owner named it; what nobody can do is unsupported."""
    for name in (CommandName.SEND_METRICS, CommandName.ROTATE_KEK, CommandName.RUN_BACKUP):
        await desk.ask(name)
    await desk.commands().run_staged()
    assert desk.ran == [CommandName.SEND_METRICS]
    told = [CommandOutcome.DONE, CommandOutcome.REFUSED, CommandOutcome.UNSUPPORTED]
    assert await desk.outcomes() == told
    await desk.ask(CommandName.ROTATE_KEK)
    await desk.commands(CommandName.ROTATE_KEK).run_staged()
    assert desk.ran[-1] is CommandName.ROTATE_KEK


async def test_a_runner_can_say_that_it_is_unsupported(desk: Desk) -> None:
    """As of backups where the agent makes none; a backup needs leave like a rotation."""
    await desk.ask(CommandName.RUN_BACKUP)
    await desk.ask(CommandName.RUN_BACKUP)

    async def unsupported() -> CommandOutcome:
        return CommandOutcome.UNSUPPORTED

    def runner(*allowed: CommandName) -> CommandRunner:
        return CommandRunner(
            database=desk.database,
            outbox=desk.outbox,
            runners={CommandName.RUN_BACKUP: unsupported},
            allowed=allowed,
            world=desk.world,
            on_queued=lambda: None,
        )

    await runner().run_staged()
    await desk.ask(CommandName.RUN_BACKUP)
    await runner(CommandName.RUN_BACKUP).run_staged()
    refused = CommandOutcome.REFUSED
    assert await desk.outcomes() == [refused, refused, CommandOutcome.UNSUPPORTED]


async def test_one_that_came_too_late_is_not_run(desk: Desk) -> None:
    """Its time is up by our clock."""
    await desk.ask(CommandName.SEND_METRICS, expires=1)
    await desk.commands().run_staged()
    assert desk.ran == []
    assert await desk.outcomes() == [CommandOutcome.EXPIRED]


async def test_one_that_fails_says_so(desk: Desk) -> None:
    """A typed failure is an outcome; done is done."""
    desk.fail = UnavailableError("sealed", "Vault is sealed")
    await desk.ask(CommandName.SEND_METRICS)
    await desk.commands().run_staged()
    await desk.commands().run_staged()
    assert await desk.outcomes() == [CommandOutcome.FAILED]
    assert len(desk.ran) == 1


async def test_a_crash_in_a_command_runs_it_no_second_time(desk: Desk) -> None:
    """It may have had its effect: it is reported as failed."""
    desk.fail = KeyboardInterrupt()  # type: ignore[assignment]  # the process ends here
    await desk.ask(CommandName.SEND_METRICS)
    with pytest.raises(KeyboardInterrupt):
        await desk.commands().run_staged()
    desk.fail = None
    await desk.commands().run_staged()
    assert len(desk.ran) == 1
    assert await desk.outcomes() == [CommandOutcome.FAILED]
