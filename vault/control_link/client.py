"""The control link as one thing: its tasks, what it tells of itself, and its end.

certificates ─ connection ─ effects (bundles, commands) ─ beats (heartbeat, metrics, checkpoints)

None of the tasks is waited for by the data path. One that fails is reported and begun again.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio
from msgspec.structs import replace

from protocols.errors import locate
from protocols.instant import from_millis
from protocols.link.messages import (
    KeyProviders,
    Message,
    Notification,
    PolicyReplay,
    Vault,
    Workers,
    spec_of,
)
from protocols.link.vocabulary import (
    AlertCode,
    CommandName,
    CommandOutcome,
    GaugeName,
    Health,
    Severity,
)
from protocols.pki.errors import PkiError
from vault.control_link import message_factory
from vault.control_link.alert_queue import AlertQueue
from vault.control_link.bundle_applier import BundleApplier
from vault.control_link.commands import CommandRunner, RunCommand
from vault.control_link.connection import LinkConnection, wait_event
from vault.control_link.connector import Connector, PhaseEvent, PhaseTracker
from vault.control_link.credential_manager import CredentialManager
from vault.control_link.database import LinkTx
from vault.control_link.dependencies import LinkConfig, LinkDependencies
from vault.control_link.host import AppliedBundle, MetricFigures
from vault.control_link.identity import AgentCredential
from vault.control_link.inbox import (
    CosignedCheckpoint,
    SqlInbox,
    read_cosigned_checkpoint,
    read_notifications,
)
from vault.control_link.outbox import OutboxBacklog, SqlOutbox, read_backlog
from vault.errors import VaultError
from vault.model.link import LinkNotification, LinkStatus

log: Final = logging.getLogger("freehold.uplink")
RETRY_DELAY: Final = 5.0
"""Seconds until a task that failed is begun again, or what could not be done is tried again."""
IDLE_CHECK_INTERVAL: Final = 30.0
"""Seconds between looks at the vault when nothing has stirred."""
HEALTH_CHECK_INTERVAL: Final = 2.0
"""Seconds between looks at the vault's health, in memory."""
GLIMPSE_INTERVAL: Final = 5.0
"""Seconds between two glimpses while somebody looks: each is some 3 KiB on the egress ledger."""
DRAIN_TIMEOUT: Final = 5.0
"""Seconds for the last words at the end; the session's own bound."""


class LinkClient:
    """Made once a process; `run` it until cancelled."""

    def __init__(self, parts: LinkDependencies, config: LinkConfig) -> None:
        world, database = parts.world, parts.database
        self._parts = parts
        self._config = config
        self._world = world
        self._host = parts.host
        self._wake_event = trio.Event()
        self._observed_event = trio.Event()
        self._begun = world.now()
        self._backlog = OutboxBacklog(0, 0, 0)
        self._witnessed = CosignedCheckpoint()
        self._notifications: tuple[LinkNotification, ...] = ()
        self._dropped = 0
        self._told_of_dropped = False
        self._bundle_gone = False
        self._outbox = SqlOutbox(database, world, config.outbox_bytes)
        self._inbox = SqlInbox(database, self._wake)
        self._alarms = AlertQueue(
            parts.host,
            self._outbox,
            world,
            self._wake,
            self._on_queued,
            is_certificate_expiring=lambda: self._credentials.is_expiring,
        )
        self._sent_health: tuple[Health, tuple[Message, ...]] | None = None
        self._sent_vault = b""  # by this connection
        self._phase = PhaseTracker(world, self._send_phase)
        self._bundles = BundleApplier(
            database=database,
            outbox=self._outbox,
            host=parts.host,
            world=world,
            on_queued=self._on_queued,
        )
        self._connector = Connector(
            dial=parts.dial,
            outbox=self._outbox,
            inbox=self._inbox,
            egress=parts.egress,
            phase=self._phase,
            on_opened=self._on_opened,
            on_observed=self._on_observed,
            on_replay_query=self._on_replay_query,
            alert=self._alarms.raise_alert,
            timeouts=config.timeouts,
            world=world,
            addresses=parts.addresses,
        )
        self._credentials = CredentialManager(
            load=parts.load,
            enroller=parts.enroller,
            target=config.enrol_target,
            label=config.label,
            on_credential=self._connector.set_credential,
            alert=self._alarms.raise_alert,
            world=world,
        )
        self._commands = CommandRunner(
            database=database,
            outbox=self._outbox,
            runners=self._runners(),
            allowed=config.allowed,
            world=world,
            on_queued=self._on_queued,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; the database is open."""
        await self._outbox.open()
        self._dropped = (await self._outbox.backlog()).dropped
        async with trio.open_nursery() as nursery:
            for task in (
                self._credentials.run,
                self._connector.run,
                self._apply_staged,
                self._watch_health,
                partial(self._every, self._config.heartbeat, self._send_heartbeat),
                partial(self._every, self._config.metrics, self._send_metrics),
                partial(self._every, self._config.checkpoints, self._checkpoint),
                self._send_glimpses,
                self._send_usage,
                self._send_expiry_alerts,
                self._send_replay_results,
            ):
                nursery.start_soon(self._run_with_retry, task)
            task_status.started()

    async def shut_down(self) -> None:
        """Say that the agent stops, and give what is under way a moment to arrive."""
        with trio.move_on_after(DRAIN_TIMEOUT):
            await self._alerts_to_outbox()
            await self._connector.shut_down()

    async def _alerts_to_outbox(self) -> None:
        try:
            await self._alarms.flush_to_outbox()
        except VaultError as error:
            log.error("alerts that wait for the control plane are lost: %s", error)  # noqa: TRY400  # one line

    def raise_alert(self, code: AlertCode, severity: Severity, count: int = 1) -> None:
        """Tell the control plane that somebody should look; waits for nothing."""
        self._alarms.raise_alert(code, severity, count)

    @property
    def credential(self) -> AgentCredential | None:
        """Who the agent is; None before it was ever let in."""
        return self._credentials.credential

    def status(self) -> LinkStatus:
        """As of now, in one look."""
        held, phase, facts = self._credentials.credential, self._phase, self._host.facts()
        conversation = self._connector.connection
        return LinkStatus(
            enabled=True,
            state=phase.current,
            since=phase.since,
            standing=self._credentials.enrolment_state,
            endpoint=held.enrolment.endpoint if held else self._door_endpoint,
            org=held.name.org if held else "",
            vault=held.name.vault if held else "",
            fingerprint=self._credentials.fingerprint if held is None else "",
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
            policy_expires=from_millis(facts.policy_expires),
            policy_trouble=self._bundles.trouble,
            trouble=self._credentials.trouble or self._connector.trouble,
            notifications=self._notifications,
        )

    @property
    def _door_endpoint(self) -> str:
        return self._config.enrol_target.endpoint if self._config.enrol_target else ""

    # --- tasks ------------------------------------------------------------------------------------

    async def _run_with_retry(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task to its end. What it fails of is told, and it is begun again."""
        while True:
            try:
                return await task()
            except (VaultError, PkiError) as error:
                log.error("the control link cannot go on for now: %s", error)  # noqa: TRY400  # one line
            except Exception as error:  # noqa: BLE001  # told; its text could hold anything
                log.error("the control link failed: %s", locate(error))  # noqa: TRY400  # as above
            await self._world.sleep(RETRY_DELAY)

    async def _every(self, period: float, work: Callable[[], Awaitable[None]]) -> None:
        await self._world.sleep(period * self._world.jitter())
        while True:
            await work()
            await self._world.sleep(period)

    async def _apply_staged(self) -> None:
        """Do what was staged, in the order of its weight: alerts, bundles, commands."""
        while True:
            self._wake_event = trio.Event()
            await self._alarms.flush_to_outbox()
            self._alarms.raise_vault_alerts()
            await self._alarms.report_break_glass(self._parts.database)
            if self._bundle_gone:
                self._bundle_gone = False
                await self._bundles.discard_staged()
                self._connector.reconnect()
            done = await self._bundles.apply_staged()
            self._update_phase(done=done)
            await self._commands.run_staged()
            await self._refresh_backlog()
            pause = IDLE_CHECK_INTERVAL if done else RETRY_DELAY
            await wait_event(self._wake_event, pause)

    async def _watch_health(self) -> None:
        """Say at once what has changed of the vault's health, whatever the disk takes."""
        while True:
            await self._world.sleep(HEALTH_CHECK_INTERVAL)
            before = self._sent_health
            if self._health() == before:
                continue
            self._send_health(self._connector.connection)
            if before is not None:
                self._wake()

    async def _send_heartbeat(self) -> None:
        self._send_health(self._connector.connection)  # first, as it needs no disk
        await self._refresh_backlog()

    def _send_health(self, conversation: LinkConnection | None) -> None:
        """How the vault is, and what is wrong with it if the control plane can hear that."""
        self._sent_health = health = self._health()
        if conversation is None:
            return
        self._send_vault(conversation)
        for message in health[1]:
            if spec_of(message).since <= conversation.session.version:
                conversation.send(message)
        conversation.send(message_factory.heartbeat(self._host.facts(), self._backlog))

    def _send_vault(self, conversation: LinkConnection) -> None:
        """Which vault this is: once a connection, and when the vault was initialized after that."""
        vault = self._host.facts().vault
        if not vault or vault == self._sent_vault:
            return
        message = Vault(vault=vault)
        if spec_of(message).since <= conversation.session.version:
            conversation.send(message)
        self._sent_vault = vault

    def _health(self) -> tuple[Health, tuple[Message, ...]]:
        facts = self._host.facts()
        state = facts.key_providers
        providers = None if state is None else KeyProviders(state=state)
        found = (providers, facts.backups, facts.clients, facts.rotations)
        reports = [each for each in found if each is not None]
        conditions, workers = self._alarms.conditions(), Workers(state=facts.workers)
        return facts.health, (conditions, workers, *reports)

    async def _send_metrics(self) -> None:
        now = self._world.now()
        message = message_factory.metrics(
            self._figures(),
            min(self._begun, now) // message_factory.MILLI,
            now // message_factory.MILLI,
        )
        self._begun = now
        await self._outbox.append(message)
        self._on_queued()

    def _figures(self) -> MetricFigures:
        """Those of the vault, and how much waits for the control plane."""
        of_vault, backlog = self._host.figures(), self._backlog
        waiting = {
            GaugeName.OUTBOX_MESSAGES: backlog.messages,
            GaugeName.OUTBOX_BYTES: backlog.bytes,
        }
        return replace(of_vault, gauges=of_vault.gauges | waiting)

    async def _send_usage(self) -> None:
        if self._parts.usage is not None:
            await self._parts.usage.run(self._append_to_outbox)

    async def _send_expiry_alerts(self) -> None:
        expiring = self._parts.expiring
        if expiring is None or not expiring.is_enabled:
            return
        await expiring.wait_next_scan(first=True)
        while True:
            if await expiring.scan(self._parts.database, self._outbox):
                self._on_queued()
            await expiring.wait_next_scan()

    async def _send_replay_results(self) -> None:
        if self._parts.replays is not None:
            await self._parts.replays.run(self._send_transient)

    async def _append_to_outbox(self, message: Message) -> None:
        await self._outbox.append(message)
        self._on_queued()

    async def _send_glimpses(self) -> None:
        """Say more for as long as somebody looks; nothing of it is kept."""
        while True:
            await self._observed_event.wait()
            self._observed_event = trio.Event()
            while (conversation := self._connector.connection) is not None:
                if conversation.observed_until <= self._world.monotonic():
                    break
                now = self._world.now() // message_factory.MILLI
                tree = self._host.actor_tree()
                conversation.send(message_factory.glimpse(self._figures(), tree, now))
                await self._world.sleep(GLIMPSE_INTERVAL)

    async def _checkpoint(self) -> None:
        cosigned = await self._inbox.cosigned_checkpoint()
        message = await self._host.checkpoint(cosigned.size, cosigned.root)
        if message is not None:
            await self._outbox.append(message)
            self._on_queued()

    def on_bundle_dropped(self) -> None:
        """The owner has dropped the bundle: register anew, so that the control plane knows."""
        self._bundle_gone = True
        self._wake()

    def notify_vault_changed(self) -> None:
        """Look at the vault now: it was sealed or unsealed, for instance."""
        self._wake()

    # --- what they share --------------------------------------------------------------------------

    def _on_opened(self, conversation: LinkConnection) -> None:
        facts = self._host.facts()
        self._told_of_dropped = False
        self._sent_vault = b""
        conversation.send(message_factory.registration(facts))
        self._send_phase()
        self._send_health(conversation)

    def _on_observed(self) -> None:
        self._observed_event.set()

    def _on_replay_query(self, question: PolicyReplay) -> None:
        if self._parts.replays is not None:
            self._parts.replays.submit(question, self._send_transient)

    def _send_transient(self, message: Message) -> None:
        """What is lost with the connection, if there is one."""
        if self._connector.connection is not None:
            self._connector.connection.send(message)

    def _send_phase(self) -> None:
        since = self._phase.since // message_factory.MILLI
        self._send_transient(message_factory.sync_state(self._phase.current, since, self._backlog))

    def _wake(self) -> None:
        self._wake_event.set()

    def _on_queued(self) -> None:
        self._phase.advance(PhaseEvent.QUEUED)
        self._connector.notify_outbox()

    def _update_phase(self, *, done: bool) -> None:
        """Online means that no policy waits either."""
        conversation = self._connector.connection
        if not done:
            self._phase.advance(PhaseEvent.POLICY)
        elif conversation is not None and conversation.is_live:
            self._phase.advance(PhaseEvent.CAUGHT_UP)

    async def _refresh_backlog(self) -> None:
        self._backlog, self._witnessed, told = await self._parts.database.transact(_kept)
        if self._backlog.dropped > self._dropped and not self._told_of_dropped:
            self._told_of_dropped = True  # once while offline, however many go
            self._alarms.raise_alert(AlertCode.METRICS_DROPPED, Severity.INFO)
        self._dropped = self._backlog.dropped
        self._notifications = tuple(
            LinkNotification(
                code=one.code,
                severity=one.severity,
                at=from_millis(one.at) // message_factory.MILLI,
            )
            for one in told
        )

    async def _run_backup(self) -> CommandOutcome:
        made = await self._host.run_backup()
        return CommandOutcome.DONE if made else CommandOutcome.UNSUPPORTED

    def _runners(self) -> dict[CommandName, RunCommand]:
        return {
            CommandName.SEND_METRICS: self._send_metrics,
            CommandName.SEND_CHECKPOINT: self._checkpoint,
            CommandName.SEND_POLICY_STATUS: self._repeat_status,
            CommandName.RENEW_CERTIFICATE: self._renew,
            CommandName.ROTATE_KEK: self._host.rotate_kek,
            CommandName.RUN_BACKUP: self._run_backup,
        }

    async def _repeat_status(self) -> None:
        facts = self._host.facts()
        await self._bundles.report_status(AppliedBundle(facts.policy, facts.narrowed))

    async def _renew(self) -> None:
        self._credentials.request_renewal()


def _kept(tx: LinkTx) -> tuple[OutboxBacklog, CosignedCheckpoint, list[Notification]]:
    return read_backlog(tx), read_cosigned_checkpoint(tx), read_notifications(tx)
