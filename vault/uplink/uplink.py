"""The uplink as one thing: its tasks, what it tells of itself, and its end.

certificates ─ connection ─ effects (bundles, commands) ─ beats (heartbeat, metrics, checkpoints)

None of the tasks is waited for by the data path. One that fails is reported and begun again.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from protocols.errors import where
from protocols.link.messages import (
    Conditions,
    Message,
    Notification,
    PolicyReplay,
    Workers,
    kind_of,
)
from protocols.link.vocabulary import AlertCode, CommandName, Health, Severity
from protocols.pki.errors import PkiError
from vault.errors import VaultError
from vault.model.instant import of_millis
from vault.model.link import LinkNotification, LinkStatus
from vault.uplink import reporting
from vault.uplink.alarms import Alarms
from vault.uplink.bundles import Bundles
from vault.uplink.commands import Commands
from vault.uplink.connecting import Connector, Phase
from vault.uplink.conversation import Conversation, heard
from vault.uplink.database import Tx
from vault.uplink.host import Applied
from vault.uplink.identity import Credential
from vault.uplink.inbox import SqlInbox, Witnessed, notifications, witnessed
from vault.uplink.keeping import Keeper
from vault.uplink.outbox import Backlog, SqlOutbox, backlog
from vault.uplink.parts import Parts, UplinkConfig
from vault.uplink.states import Step

log: Final = logging.getLogger("freehold.uplink")
RETRY: Final = 5.0
"""Seconds until a task that failed is begun again, or what could not be done is tried again."""
IDLE: Final = 30.0
"""Seconds between looks at the vault when nothing has stirred."""
WATCH: Final = 2.0
"""Seconds between looks at the vault's health, in memory."""
GLIMPSE_EVERY: Final = 5.0
"""Seconds between two glimpses while somebody looks: each is some 3 KiB on the egress ledger."""
DRAIN: Final = 5.0
"""Seconds for the last words at the end; the session's own bound."""


class Uplink:
    """Made once a process; `run` it until cancelled."""

    def __init__(self, parts: Parts, config: UplinkConfig) -> None:
        world, database = parts.world, parts.database
        self._parts = parts
        self._config = config
        self._world = world
        self._host = parts.host
        self._stirred = trio.Event()
        self._looked_at = trio.Event()
        self._begun = world.now()
        self._backlog = Backlog(0, 0, 0)
        self._witnessed = Witnessed()
        self._notifications: tuple[LinkNotification, ...] = ()
        self._dropped = 0
        self._told_of_dropped = False
        self._bundle_gone = False
        self._outbox = SqlOutbox(database, world, config.outbox_bytes)
        self._inbox = SqlInbox(database, self._stir)
        self._alarms = Alarms(
            parts.host,
            self._outbox,
            world,
            self._stir,
            self._queued,
            expiring=lambda: self._keeper.expiring,
        )
        self._told: tuple[Health, Conditions, Workers] | None = None
        self._phase = Phase(world, self._tell_phase)
        self._bundles = Bundles(
            database=database,
            outbox=self._outbox,
            host=parts.host,
            world=world,
            queued=self._queued,
        )
        self._connector = Connector(
            dial=parts.dial,
            outbox=self._outbox,
            inbox=self._inbox,
            egress=parts.egress,
            phase=self._phase,
            opened=self._opened,
            observed=self._observed,
            asked=self._asked,
            alert=self._alarms.raise_alert,
            patience=config.patience,
            world=world,
            addresses=parts.addresses,
        )
        self._keeper = Keeper(
            load=parts.load,
            enroller=parts.enroller,
            door=config.door,
            label=config.label,
            use=self._connector.use,
            alert=self._alarms.raise_alert,
            world=world,
        )
        self._commands = Commands(
            database=database,
            outbox=self._outbox,
            runners=self._runners(),
            allowed=config.allowed,
            world=world,
            queued=self._queued,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; the database is open."""
        await self._outbox.open()
        self._dropped = (await self._outbox.backlog()).dropped
        async with trio.open_nursery() as nursery:
            for task in (
                self._keeper.run,
                self._connector.run,
                self._effects,
                self._watch,
                partial(self._every, self._config.heartbeat, self._beat),
                partial(self._every, self._config.metrics, self._report),
                partial(self._every, self._config.checkpoints, self._checkpoint),
                self._show,
                self._tell_usage,
                self._tell_expiring,
                self._tell_replays,
            ):
                nursery.start_soon(self._steadily, task)
            task_status.started()

    async def leave(self) -> None:
        """Say that the agent stops, and give what is under way a moment to arrive."""
        with trio.move_on_after(DRAIN):
            await self._alerts_to_outbox()
            await self._connector.end()

    async def _alerts_to_outbox(self) -> None:
        try:
            await self._alarms.owe()
        except VaultError as error:
            log.error("alerts that wait for the control plane are lost: %s", error)  # noqa: TRY400  # one line

    def raise_alert(self, code: AlertCode, severity: Severity, count: int = 1) -> None:
        """Tell the control plane that somebody should look; waits for nothing."""
        self._alarms.raise_alert(code, severity, count)

    @property
    def held(self) -> Credential | None:
        """Who the agent is; None before it was ever let in."""
        return self._keeper.held

    def status(self) -> LinkStatus:
        """As of now, in one look."""
        held, phase, facts = self._keeper.held, self._phase, self._host.facts()
        conversation = self._connector.conversation
        return LinkStatus(
            enabled=True,
            state=phase.current,
            since=phase.since,
            standing=self._keeper.standing,
            endpoint=held.enrolment.endpoint if held else self._door_endpoint,
            org=held.name.org if held else "",
            vault=held.name.vault if held else "",
            fingerprint=self._keeper.fingerprint if held is None else "",
            generation=held.enrolment.generation if held else 0,
            certificate_expires=held.expires if held else 0,
            connected=conversation is not None,
            connected_at=self._connector.connected_at,
            round_trip=conversation.session.round_trip if conversation else None,
            attempts=self._connector.attempts,
            faults=self._connector.faults,
            health=facts.health,
            outbox_messages=self._backlog.messages,
            outbox_bytes=self._backlog.bytes,
            dropped=self._backlog.dropped,
            egress_bytes=self._parts.egress_total(),
            cosigned_size=self._witnessed.size,
            policy_version=facts.policy.version,
            policy_expires=of_millis(facts.policy_expires),
            policy_trouble=self._bundles.trouble,
            trouble=self._keeper.trouble or self._connector.trouble,
            notifications=self._notifications,
        )

    @property
    def _door_endpoint(self) -> str:
        return self._config.door.endpoint if self._config.door else ""

    # --- tasks ------------------------------------------------------------------------------------

    async def _steadily(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task to its end. What it fails of is told, and it is begun again."""
        while True:
            try:
                return await task()
            except (VaultError, PkiError) as error:
                log.error("the uplink cannot go on for now: %s", error)  # noqa: TRY400  # one line
            except Exception as error:  # noqa: BLE001  # told; its text could hold anything
                log.error("the uplink failed: %s", where(error))  # noqa: TRY400  # as above
            await self._world.sleep(RETRY)

    async def _every(self, period: float, work: Callable[[], Awaitable[None]]) -> None:
        await self._world.sleep(period * self._world.jitter())
        while True:
            await work()
            await self._world.sleep(period)

    async def _effects(self) -> None:
        """Do what was staged, in the order of its weight: alerts, bundles, commands."""
        while True:
            self._stirred = trio.Event()
            await self._alarms.owe()
            self._alarms.look()
            if self._bundle_gone:
                self._bundle_gone = False
                await self._bundles.forget()
                self._connector.reconnect()
            done = await self._bundles.apply()
            self._settle(done=done)
            await self._commands.run()
            await self._look()
            pause = IDLE if done else RETRY
            await heard(self._stirred, pause)

    async def _watch(self) -> None:
        """Say at once what has changed of the vault's health, whatever the disk takes."""
        while True:
            await self._world.sleep(WATCH)
            before = self._told
            if self._health() == before:
                continue
            self._tell_health(self._connector.conversation)
            if before is not None:
                self._stir()

    async def _beat(self) -> None:
        self._tell_health(self._connector.conversation)  # first, as it needs no disk
        await self._look()

    def _tell_health(self, conversation: Conversation | None) -> None:
        """How the vault is, and what is wrong with it if the control plane can hear that."""
        self._told = health = self._health()
        if conversation is None:
            return
        for message in health[1:]:
            if kind_of(message).since <= conversation.session.version:
                conversation.send(message)
        conversation.send(reporting.heartbeat(self._host.facts(), self._backlog))

    def _health(self) -> tuple[Health, Conditions, Workers]:
        facts = self._host.facts()
        return facts.health, self._alarms.conditions(), Workers(state=facts.workers)

    async def _report(self) -> None:
        now = self._world.now()
        message = reporting.metrics(
            self._host.figures(), min(self._begun, now) // reporting.MILLI, now // reporting.MILLI
        )
        self._begun = now
        await self._outbox.append(message)
        self._queued()

    async def _tell_usage(self) -> None:
        if self._parts.usage is not None:
            await self._parts.usage.run(self._owe)

    async def _tell_expiring(self) -> None:
        expiring = self._parts.expiring
        if expiring is None or not expiring.wanted:
            return
        await expiring.pause(first=True)
        while True:
            if await expiring.look(self._parts.database, self._outbox):
                self._queued()
            await expiring.pause()

    async def _tell_replays(self) -> None:
        if self._parts.replays is not None:
            await self._parts.replays.run(self._say)

    async def _owe(self, message: Message) -> None:
        await self._outbox.append(message)
        self._queued()

    async def _show(self) -> None:
        """Say more for as long as somebody looks; nothing of it is kept."""
        while True:
            await self._looked_at.wait()
            self._looked_at = trio.Event()
            while (conversation := self._connector.conversation) is not None:
                if conversation.observed_until <= self._world.monotonic():
                    break
                now = self._world.now() // reporting.MILLI
                host = self._host
                conversation.send(reporting.glimpse(host.figures(), host.tree(), now))
                await self._world.sleep(GLIMPSE_EVERY)

    async def _checkpoint(self) -> None:
        cosigned = await self._inbox.witnessed()
        message = await self._host.checkpoint(cosigned.size, cosigned.root)
        if message is not None:
            await self._outbox.append(message)
            self._queued()

    def bundle_dropped(self) -> None:
        """The owner has dropped the bundle: register anew, so that the control plane knows."""
        self._bundle_gone = True
        self._stir()

    def stir(self) -> None:
        """Look at the vault now: it was sealed or unsealed, for instance."""
        self._stir()

    # --- what they share --------------------------------------------------------------------------

    def _opened(self, conversation: Conversation) -> None:
        facts = self._host.facts()
        self._told_of_dropped = False
        conversation.send(reporting.registration(facts))
        self._tell_phase()
        self._tell_health(conversation)

    def _observed(self) -> None:
        self._looked_at.set()

    def _asked(self, question: PolicyReplay) -> None:
        if self._parts.replays is not None:
            self._parts.replays.ask(question, self._say)

    def _say(self, message: Message) -> None:
        """What is lost with the connection, if there is one."""
        if self._connector.conversation is not None:
            self._connector.conversation.send(message)

    def _tell_phase(self) -> None:
        since = self._phase.since // reporting.MILLI
        self._say(reporting.sync_state(self._phase.current, since, self._backlog))

    def _stir(self) -> None:
        self._stirred.set()

    def _queued(self) -> None:
        self._phase.step(Step.QUEUED)
        self._connector.stir()

    def _settle(self, *, done: bool) -> None:
        """Online means that no policy waits either."""
        conversation = self._connector.conversation
        if not done:
            self._phase.step(Step.POLICY)
        elif conversation is not None and conversation.is_live:
            self._phase.step(Step.CAUGHT_UP)

    async def _look(self) -> None:
        self._backlog, self._witnessed, told = await self._parts.database.transact(_kept)
        if self._backlog.dropped > self._dropped and not self._told_of_dropped:
            self._told_of_dropped = True  # once while offline, however many go
            self._alarms.raise_alert(AlertCode.METRICS_DROPPED, Severity.INFO)
        self._dropped = self._backlog.dropped
        self._notifications = tuple(
            LinkNotification(
                code=one.code, severity=one.severity, at=of_millis(one.at) // reporting.MILLI
            )
            for one in told
        )

    def _runners(self) -> dict[CommandName, Callable[[], Awaitable[None]]]:
        return {
            CommandName.SEND_METRICS: self._report,
            CommandName.SEND_CHECKPOINT: self._checkpoint,
            CommandName.SEND_POLICY_STATUS: self._repeat_status,
            CommandName.RENEW_CERTIFICATE: self._renew,
            CommandName.ROTATE_KEK: self._host.rotate_kek,
        }

    async def _repeat_status(self) -> None:
        facts = self._host.facts()
        await self._bundles.report(Applied(facts.policy, facts.narrowed))

    async def _renew(self) -> None:
        self._keeper.renew_now()


def _kept(tx: Tx) -> tuple[Backlog, Witnessed, list[Notification]]:
    return backlog(tx), witnessed(tx), notifications(tx)
