"""A fleet of the product's own halves: uplinks, gateway, services and stores in one run."""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from alembic.script import ScriptDirectory

from control import core
from control.core import Core
from control.gateway import gateway
from control.key_files import public_bytes
from control.model.records import WitnessedCheckpoint
from control.store import engines
from protocols.pki import chain
from tests.simulation import thieves
from tests.simulation.agent_half import OUTBOX_BYTES, AgentHalf, folder_of
from tests.simulation.certificates import chain_in, remembered, seeded_keys
from tests.simulation.control_half import ControlHalf
from tests.simulation.delivery import Delivery
from tests.simulation.failing import Weak, failing
from tests.simulation.faults import CONTROL, Fault
from tests.simulation.keys import QuickVerifier
from tests.simulation.machine import SimWorld
from tests.simulation.network import Network
from tests.simulation.observing import observed, replaced
from tests.simulation.oracle import broken
from tests.simulation.presence import Attendance
from tests.simulation.process import Main
from tests.simulation.recorded import Recorded
from tests.simulation.scheduler import chance_of
from tests.simulation.statements import read_once, taught
from tests.simulation.vault_double import CANARY, ORG, Estate
from vault.control_link import client, connector

EVIDENCE_BYTES: Final = 64 * 1024
"""What evidence may be above the outbox's bound: one message a topic, and results of commands."""


SELDOM: Final = (
    (core, "PRESENCE_INTERVAL", 4.0),
    (core, "LEADER_INTERVAL", 5.0),
    (core, "ROLLOUT_INTERVAL", 15.0),
    (core, "BUNDLE_REFRESH_INTERVAL", 15.0),
    (core, "DELIVERY_INTERVAL", 60.0),
    (core, "REPORT_INTERVAL", 300.0),
    (core, "SCHEDULE_INTERVAL", 300.0),
    (client, "RETRY_DELAY", 15.0),
)
"""Looks that find nothing (nearly) always cost most of a run: they come less often here."""


class RealFleet:
    """See `scenario.Fleet`."""

    def __init__(
        self, seed: int, agents: list[str], network: Network, folder: Path, *, quick: bool
    ) -> None:
        self._quick = quick
        people = chance_of(seed, "people")
        with seeded_keys():
            self.control_half = ControlHalf(
                folder / "control", network, agents, people, quick=quick
            )
        policy = public_bytes(self.control_half.policy_key)
        self.weak = {name: Weak(chance_of(seed, f"weak {name}")) for name in (*agents, CONTROL)}
        self.control_half.weak = self.weak[CONTROL]
        self.estates = {
            name: Estate(name, folder_of(folder, name), policy, chance_of(seed, f"vault {name}"))
            for name in agents
        }
        self.agents = {
            name: AgentHalf(
                self.weak[name],
                kept,
                network,
                self.control_half,
                chance_of(seed, f"work of {name}"),
                quick=quick,
            )
            for name, kept in self.estates.items()
        }
        self.control_half.opened = self._opened
        self.control_half.agent_shows = self._fingerprint
        self.control_half.give = lambda name, token: self.estates[name].give(token)
        self.control_half.in_vain = lambda name: self.estates[name].unusable
        self.delivery = Delivery(agents)
        self._network = network
        self._attendance: Attendance | None = None
        self._cosigned: dict[str, tuple[int, int]] = {}
        self._recorded = Recorded()
        self._thieves = chance_of(seed, "thieves")
        network.watchers += [_no_canary, self._recorded.carried]

    @contextmanager
    def seen(self) -> Iterator[None]:
        """Observed, and with the keys of the run, for the length of the block."""
        with ExitStack() as stack:
            if self._quick:
                for module in (gateway, connector):
                    stack.enter_context(replaced(module, "Verifier", _quick_verifier))
            for module, name, seconds in SELDOM:
                stack.enter_context(replaced(module, name, seconds))
            stack.enter_context(replaced(engines, "_engine", taught(engines._engine)))
            once = read_once(ScriptDirectory.from_config)
            stack.enter_context(replaced(ScriptDirectory, "from_config", once))
            stack.enter_context(observed(self.delivery))
            stack.enter_context(failing(self.weak))
            stack.enter_context(self._recorded.noting())
            stack.enter_context(replaced(ssl, "create_default_context", _no_authorities))
            stack.enter_context(replaced(chain, "_verified", remembered(chain._verified)))
            stack.enter_context(seeded_keys())
            yield

    async def control(self, world: SimWorld) -> None:
        """See `Fleet`."""
        try:
            await self._managed(CONTROL, self.control_half.run, world)
        finally:
            self._attendance = None

    async def agent(self, name: str, world: SimWorld) -> None:
        """See `Fleet`."""
        await self._managed(name, self.agents[name].run, world)

    async def _managed(self, name: str, run: Main, world: SimWorld) -> None:
        """As a service manager: what a disk kept from starting is started again."""
        weak = self.weak[name]
        while True:
            try:
                return await run(world)
            except Exception:
                if world.dead or weak.serving or not weak.lately:
                    raise
            if world.stopping.is_set():
                return None
            await world.sleep(5)

    def harm(self, fault: Fault) -> None:
        """What is wrong with a part of it, not with its network or a process."""
        match fault.kind:
            case "fork":  # its log comes back from an old copy
                self.estates[fault.target].fork(int(fault.detail))
            case "disk_error":
                self.weak[fault.target].refuse(fault.length)
            case "actor":
                self.weak[fault.target].crash(fault.detail)
            case "theft":
                self._steal(fault)

    def _steal(self, fault: Fault) -> None:
        held = self.agents[fault.target].identity.load_credential()
        if held is not None:
            due = trio.current_time() + float(fault.detail)
            shown = chain_in(held.identity.chain)
            theft = thieves.Theft(fault.target, shown, due, self._thieves.random() < 0.5)
            self.control_half.thefts.append(theft)

    def checks(self) -> None:
        """See `Fleet`."""
        if trusting := self._network.trusting():
            broken("in place", f"{trusting[0].agent} goes on after a frame out of its place")
        if self._attendance is not None:
            self._attendance.check(ORG, list(self.agents))
        control = self.control_half
        thieves.watched(control.thefts, control.gateway, control.rows)
        for name, half in self.agents.items():
            if half.uplink is not None:
                size = half.uplink.status().outbox_bytes
                if size > OUTBOX_BYTES + EVIDENCE_BYTES:
                    broken("bounded", f"{name}: {size} bytes in the outbox")

    def waiting(self) -> set[str]:
        """See `Fleet`."""
        behind = {vault for vault, *_ in self._behind()}
        query = "SELECT vault FROM ca_agents WHERE state <> 'active'"
        behind |= {vault for (vault,) in self.control_half.rows(query)}
        return {
            name
            for name, half in self.agents.items()
            if name in behind
            or half.uplink is None
            or self.delivery.told[name].waiting
            or not self._network.path(name).conns
        }

    def arrived(self, name: str) -> None:
        """See `Fleet`."""
        if behind := [row for row in self._behind() if row[0] == name]:
            broken("converged", f"wanted and enforced differ: {behind}")
        self.delivery.arrived(name)
        self._online(name)
        self._backed_up(name)
        self._enrolled(name)

    async def settled(self) -> None:
        """See `Fleet`."""
        self._all_answered()
        self._none_twice()
        thieves.settled(self.control_half.thefts, self.control_half.rows)
        self._nothing_leaked()
        for name, estate in self.estates.items():
            self._recorded.settled(name, estate.folder / "egress.log")

    def _behind(self) -> list[tuple[str, int, int, str]]:
        """Agents whose policy is not the wanted one, or is not known to be."""
        rows = self.control_half.rows("SELECT vault, version, applied, outcome FROM assignments")
        return [
            (vault, version, self.estates[vault].stored.version, outcome)
            for vault, version, applied, outcome in rows
            if not version == applied == self.estates[vault].stored.version
        ]

    def _online(self, name: str) -> None:
        core = self.control_half.core
        known = None if core is None else core.presence.status_of(ORG, name)
        if known is None or known[0] != "online":
            broken("presence", f"{name} is {known} in a healthy world")

    def _backed_up(self, name: str) -> None:
        """What the agent says of its newest backup is on record, and nobody is alarmed."""
        known = dict(self.control_half.rows("SELECT vault, newest FROM backup_reports"))
        said = self.estates[name].backed_up // 10**6 * 10**6
        if known.get(name) != said:
            broken("backups", f"{name} says {said}, {known.get(name)} is on record")
        query = "SELECT vault, code FROM alerts WHERE code LIKE 'backup%'"
        if alarmed := self.control_half.rows(query):
            broken("backups", f"alarmed of without need: {alarmed}")

    def _all_answered(self) -> None:
        query = "SELECT vault, count(*) FROM commands WHERE outcome = '' GROUP BY vault"
        open_ = self.control_half.rows(query)
        if sum(count for _, count in open_) > len(self.agents):  # the newest may be under way
            broken("answered", f"commands without an outcome: {open_}")

    def _none_twice(self) -> None:
        """Each generation has one certificate, and no thief another."""
        query = "SELECT vault, generation FROM ca_certificates GROUP BY 1, 2 HAVING count(*) > 1"
        if twice := self.control_half.rows(query):
            broken("certificates", f"given twice: {twice}")

    def _enrolled(self, name: str) -> None:
        query = "SELECT serial, revoked_at FROM ca_certificates"
        revoked = dict(self.control_half.rows(query))
        uplink = self.agents[name].uplink
        held = None if uplink is None else uplink.credential
        if held is None or revoked.get(held.serial, 0) is not None:
            broken("certificates", f"{name} has none that counts")

    def _fingerprint(self, name: str) -> str:
        uplink = self.agents[name].uplink if name in self.agents else None
        return "" if uplink is None else uplink.status().fingerprint

    def _nothing_leaked(self) -> None:
        for file in self.control_half.database.parent.rglob("*"):
            if file.is_file() and CANARY in file.read_bytes():
                broken("sovereign", f"a value lies in the control plane's {file.name}")

    def _opened(self, core: Core) -> None:
        self._attendance = Attendance.of(core.presence)
        witness: Any = core.witness
        witness.cosignature_line = partial(self._sign, core.witness.cosignature_line)

    def _sign(self, sign: Any, seen: WitnessedCheckpoint) -> str:
        """The witness signs one history of each log only."""
        kept = self.estates[seen.vault]
        history, size = kept.heads.get(seen.root, (-1, 0))
        if history < 0 or size != seen.size:
            broken("witness", f"{seen.vault}: signs a head that its log never had")
        early, cosigned = self._cosigned.get(seen.vault, (history, 0))
        if kept.shared(min(early, history), max(early, history)) < min(cosigned, size):
            broken("witness", f"{seen.vault}: signs two histories")
        self._cosigned[seen.vault] = max((early, cosigned), (history, size))
        line: str = sign(seen)
        return line


def _no_canary(agent: str, way: str, frame: bytes) -> None:
    if CANARY in frame:
        broken("sovereign", f"a value is on the wire ({agent} {way})")


def _no_authorities(*_: Any, **__: Any) -> ssl.SSLContext:
    """Nobody is asked over HTTPS here, and reading the system's authorities takes 12 ms a life."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _quick_verifier(publics: list[bytes]) -> QuickVerifier:
    return QuickVerifier(publics[0])
