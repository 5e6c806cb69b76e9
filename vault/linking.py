"""The uplink wired to this process: its files beside the data, its way out, and the open vault.

Without a control plane in the settings nothing of it exists, see `unlinked`. When its files cannot
be used, the vault serves without it, and says so: under the bundle in force, which is in the
vault's own store. What passes is tried again; what is damaged is left alone until a person has
looked at it.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from typing import Final

import trio

from actors import World
from actors.tree import Node
from protocols.link.vocabulary import (
    WARNINGS,
    AlertCode,
    CommandName,
    KeyHolder,
    Severity,
    SyncPhase,
)
from protocols.pki.errors import PkiError
from vault.audit.layout import LogLayout
from vault.authz.policy_store import PolicyStore
from vault.config import Settings
from vault.config.linking import ControlPlane
from vault.counting import keep_counting, measure
from vault.errors import UnavailableError, VaultError
from vault.gate import Gate
from vault.handlers.control_plane import bundle_in_force
from vault.metrics import Metrics
from vault.model.instant import SECOND, of_millis
from vault.model.link import LinkStatus
from vault.model.replay import Fact
from vault.model.seam import KeyReader, PolicyTrust
from vault.store.interface import Backend
from vault.unlinked import EGRESS, folder_of, seam_of
from vault.uplink import database as uplink_database
from vault.uplink.addresses import Addresses
from vault.uplink.auditing import AuditView
from vault.uplink.connecting import Patience
from vault.uplink.enrolling import Door, Enroller
from vault.uplink.expiring import Expiring, Warnings
from vault.uplink.identity import Credential, IdentityStore
from vault.uplink.keeping import standing_of
from vault.uplink.ledger import FILES, EgressLedger
from vault.uplink.local import LocalHost
from vault.uplink.network import Network
from vault.uplink.parts import Parts, UplinkConfig
from vault.uplink.replays import Replays
from vault.uplink.uplink import Uplink
from vault.uplink.usage import Reports, Share, Source

log: Final = logging.getLogger("freehold.uplink")
DATABASE: Final = "uplink.db"
AGAIN: Final = 60.0
"""Seconds until files that could not be used are tried again."""
_MENDED: Final = {
    "egress_tampered": "move the file that `freehold agent egress verify` names elsewhere, keep it",
    "uplink_damaged": f"move {DATABASE}* elsewhere, with what waits to be sent",
    "uplink_version": f"use that version again, or move {DATABASE}* elsewhere",
}
"""What a person has to do before a restart, by the error's code; whatever else it is may pass."""
SYSLOG_DOWN: Final = 60.0
"""Seconds: no request waits for syslog, and it is restarted now and then."""
CLOCK_BEHIND: Final = 60.0
"""Seconds: clocks are set back a little now and then."""
_TROUBLES: Final = {
    "audit_sinks_failing": AlertCode.AUDIT_SINK_FAILED,
    "audit_damaged": AlertCode.AUDIT_TAMPERED,
    "anchor_failing": AlertCode.STORE_FAILED,
    "store_failing": AlertCode.STORE_FAILED,
}
_STATES: Final = {
    SyncPhase.OFFLINE: 0.0,
    SyncPhase.QUEUEING: 1.0,
    SyncPhase.SYNCING: 2.0,
    SyncPhase.ONLINE: 3.0,
}


def identity_of(settings: Settings) -> IdentityStore:
    """Keys and certificates."""
    section = settings.control_plane
    return IdentityStore(folder_of(settings), section.certificate_path, section.private_key_path)


def egress_of(settings: Settings, world: World) -> EgressLedger:
    """The ledger of what leaves."""
    file_bytes = settings.control_plane.egress_size // (FILES + 1)
    return EgressLedger(folder_of(settings) / EGRESS, world, file_bytes=file_bytes)


class Linking:
    """Made before the gate; `linked` once it is there."""

    def __init__(self, settings: Settings, metrics: Metrics, world: World) -> None:
        """Raises `UnavailableError` for a ceiling that is not understood."""
        self._settings = settings
        self._metrics = metrics
        self._world = world
        self._uplink: Uplink | None = None
        self._alerts: Counter[AlertCode] = Counter()  # that no uplink has taken yet
        self._takes_alerts: Uplink | None = None  # once it runs
        self._trouble = ""  # why there is no link
        self._damaged = False  # and whether it is for a person to mend
        self._held: Credential | None = None  # who the agent is without it
        self._identity = identity_of(settings)
        self._view = AuditView(LogLayout(settings.audit_log), world)
        self._book: PolicyStore | None = None
        self._keys: KeyReader | None = None
        self._host: LocalHost | None = None
        self._expiries: Expiring | None = None
        self.seam = seam_of(settings, world)
        self.seam.on_open, self.seam.on_close = self._opened, self._closed
        self.seam.followers = (self._view,)
        self.seam.trust, self.seam.link_status = self._trust, self._status
        self.seam.on_bundle_dropped = self._bundle_dropped
        self.seam.raise_alert = self._alert

    @asynccontextmanager
    async def linked(
        self, gate: Gate, backend: Backend, connections: Callable[[], float]
    ) -> AsyncIterator[None]:
        """Keep the agent linked for the length of the block; it says goodbye at its end.

        While its files cannot be used it is not linked, and that is told: until they can, or, when
        one is damaged, until the next start.
        """
        host = self._local(gate, connections)
        places = self._settings.storage.path, self._settings.audit_log
        look = partial(measure, backend, *places)
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:

            async def begin() -> bool:
                """Return whether this is settled."""
                uplink = await self._begin(stack, nursery, host)
                if uplink is not None:
                    nursery.start_soon(keep_counting, host, gate, look, self._world)
                    nursery.start_soon(_stirred, gate, uplink)
                return uplink is not None or self._damaged

            if not await begin():
                nursery.start_soon(self._again, begin)
            with self._followed():
                yield
                if self._uplink is not None:
                    await self._uplink.leave()
            nursery.cancel_scope.cancel()
        self._uplink = self._takes_alerts = None

    async def _again(self, begin: Callable[[], Awaitable[bool]]) -> None:
        """Until it is settled."""
        await self._world.sleep(AGAIN)
        while not await begin():
            await self._world.sleep(AGAIN)

    async def _begin(
        self, stack: AsyncExitStack, nursery: trio.Nursery, host: LocalHost
    ) -> Uplink | None:
        """The uplink, running; None, and nothing of it open, when that cannot be."""
        try:
            async with AsyncExitStack() as attempt:
                self._uplink = uplink = await self._open(attempt, host)
                await nursery.start(uplink.run)
                stack.push_async_exit(attempt.pop_all())
        except VaultError as error:
            self._uplink = None
            await self._tell(error)
            return None
        if self._trouble:
            log.info("what kept the agent from its link has passed")
        self._trouble = ""
        self._hand_over(uplink)
        return uplink

    async def _tell(self, error: VaultError) -> None:
        """Why there is no link, once, and what will be done about it."""
        mended = _MENDED.get(error.code)
        self._damaged = mended is not None
        then = f"{mended}, then restart the agent" if mended else f"next attempt in {AGAIN:.0f} s"
        trouble = f"{error.message}: there is no link; {then}"
        with suppress(PkiError):
            self._held = await self._world.run_sync(self._identity.load)
        if trouble != self._trouble:
            log.error("%s", trouble)
        self._trouble = trouble

    async def _open(self, stack: AsyncExitStack, host: LocalHost) -> Uplink:
        settings, world = self._settings, self._world
        try:
            await world.run_sync(self._identity.prepare)
        except PkiError as error:
            raise UnavailableError("uplink", str(error)) from None
        database = await stack.enter_async_context(
            uplink_database.opened(folder_of(settings) / DATABASE, world)
        )
        egress = egress_of(settings, world)
        stack.push_async_callback(egress.close)
        await egress.open()
        section = settings.control_plane
        addresses = Addresses(section.endpoints, world)
        parts = Parts(
            database=database,
            egress=egress,
            dial=Network(world, section.tls_keylog, addresses),
            addresses=addresses,
            enroller=Enroller(
                self._identity,
                egress,
                world,
                keylog=section.tls_keylog,
                addresses=Addresses(section.endpoints, world),
            ),
            load=self._identity.load,
            host=host,
            world=world,
            egress_total=lambda: egress.total,
            usage=self._reports(host),
            expiring=self._expiring(host),
            replays=Replays(
                host.run, Share(section.share_replays), world, map(Fact, section.replay_facts)
            ),
        )
        return Uplink(parts, uplink_config(settings.control_plane))

    def _local(self, gate: Gate, connections: Callable[[], float]) -> LocalHost:
        kind = self._settings.encryption.key_management
        self._host = host = LocalHost(
            run=gate.run,
            open_now=lambda: gate.is_open,
            totals=self._metrics.totals,
            connections=connections,
            audit=self._view,
            release=version("freehold"),
            key_holder=KeyHolder(kind),
            world=self._world,
            troubles=self._troubles,
            workers_failing=lambda: self._metrics.value("workers_failing") > 0,
            refusing=lambda: bool(gate.status().refusing),
            sinks_failing=lambda: self._metrics.value("audit_sinks_failing"),
            actors=self._actors,
        )
        if self._book is not None and self._keys is not None:
            self._opened(self._book, self._keys)
        return host

    def _reports(self, host: LocalHost) -> Reports:
        section = self._settings.control_plane
        interval = section.usage_interval / SECOND
        return Reports(self._source(host), Share(section.share_usage), interval, self._world)

    def _expiring(self, host: LocalHost) -> Expiring:
        section = self._settings.control_plane
        chosen = Warnings(
            section.expiry_warnings, section.expiry_interval / SECOND, Share(section.share_usage)
        )
        self._expiries = Expiring(self._source(host), chosen, self._world)
        return self._expiries

    def _source(self, host: LocalHost) -> Source:
        return Source(host.run, host.open_now, host.totals, self.seam.tally)

    def _opened(self, book: PolicyStore, keys: KeyReader) -> None:
        """The data path is built: what it holds of the control plane is known from now on."""
        self._book, self._keys = book, keys
        if self._host is not None:
            self._host.policies = lambda: bundle_in_force(book, self._trust())
            self._host.keys = keys
        if self._uplink is not None:
            self._uplink.stir()

    def _closed(self) -> None:
        """It is taken down: of its bundle the last state is known, of its keys nothing."""
        book, self._book, self._keys = self._book, None, None
        if self._host is not None and book is not None:
            held = bundle_in_force(book, self._trust())
            self._host.policies, self._host.keys = lambda: held, lambda: None

    def _alert(self, code: AlertCode, count: int) -> None:
        """Kept, counted, while there is no uplink: the vault opens before its link does."""
        self._alerts[code] += count
        if self._takes_alerts is not None:
            self._hand_over(self._takes_alerts)

    def _hand_over(self, uplink: Uplink) -> None:
        self._takes_alerts = uplink
        alerts, self._alerts = self._alerts, Counter()
        for code, count in alerts.items():
            severity = Severity.WARNING if code in WARNINGS else Severity.CRITICAL
            uplink.raise_alert(code, severity, count)

    def _bundle_dropped(self) -> None:
        if self._uplink is not None:
            self._uplink.bundle_dropped()

    def _troubles(self) -> frozenset[AlertCode]:
        """What the agent's own gauges say."""
        found = {code for name, code in _TROUBLES.items() if self._metrics.value(name) > 0}
        if self._metrics.sinks().get("syslog", 0) > SYSLOG_DOWN:
            found.add(AlertCode.AUDIT_SINK_FAILED)
        if self._metrics.value("clock_behind_seconds") > CLOCK_BEHIND:
            found.add(AlertCode.CLOCK_SET_BACK)
        if any(disk.low for disk in self._metrics.disks()):
            found.add(AlertCode.DISK_LOW)
        return frozenset(found)

    def _actors(self) -> Node | None:
        return None if self._metrics.actors is None else self._metrics.actors()

    def _trust(self) -> PolicyTrust | None:
        held = None if self._uplink is None else self._uplink.held
        if held is None:
            return None
        enrolment = held.enrolment
        return PolicyTrust(
            held.name.org, held.name.vault, enrolment.policy_key, enrolment.authority
        )

    def _status(self) -> LinkStatus:
        if self._uplink is not None and not self._trouble:
            return self._uplink.status()
        if self._host is None or not self._trouble:
            return LinkStatus(enabled=True)
        held, facts = self._held, self._host.facts()
        return LinkStatus(
            enabled=True,
            standing=standing_of(held, self._world.wall()),
            endpoint=held.enrolment.endpoint if held else self._settings.control_plane.endpoint,
            org=held.name.org if held else "",
            vault=held.name.vault if held else "",
            generation=held.enrolment.generation if held else 0,
            certificate_expires=held.expires if held else 0,
            health=facts.health,
            policy_version=facts.policy.version,
            policy_expires=of_millis(facts.policy_expires),
            trouble=self._trouble,
        )

    def _followed(self) -> AbstractContextManager[None]:
        status = self._status
        return self._metrics.follow(
            control_plane_enabled=lambda: 1.0,
            control_plane_closed=lambda: float(bool(self._trouble)),
            control_plane_state=lambda: _STATES[SyncPhase(status().state)],
            control_plane_connected=lambda: float(status().connected),
            control_plane_faults=lambda: float(status().faults),
            outbox_messages=lambda: float(status().outbox_messages),
            outbox_bytes=lambda: float(status().outbox_bytes),
            policy_version=lambda: float(status().policy_version),
            secrets_expiring=lambda: float(self._expiries.total if self._expiries else 0),
        )


async def _stirred(gate: Gate, uplink: Uplink) -> None:
    """Have it told at once that the vault was sealed or opened."""
    while True:
        await gate.wait_turned()
        uplink.stir()


def uplink_config(section: ControlPlane) -> UplinkConfig:
    """The uplink's settings from the file's."""
    door = Door(endpoint=section.endpoint, pin=section.pin) if section.pin else None
    return UplinkConfig(
        heartbeat=section.heartbeat_interval / SECOND,
        metrics=section.metrics_interval / SECOND,
        checkpoints=section.checkpoint_interval / SECOND,
        outbox_bytes=section.outbox_size,
        patience=Patience(section.dead_after / SECOND, section.reconnect_within / SECOND),
        allowed=tuple(CommandName(word) for word in section.allow_commands),
        door=door,
        label=section.label,
    )
