"""The control plane of a simulated fleet: the product's own, on a real SQLite file."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import trio
from argon2 import PasswordHasher

from actors.errors import StopTimeout
from actors.periodic import Job, run_periodic_jobs
from control.ca.certificate_authority import CertificateAuthority
from control.ca.clock_guard import CLOCK_BEHIND
from control.ca.join_requests import join_fingerprint
from control.config.load import dev_settings
from control.core import Core, open_control_plane
from control.errors import ConflictError, ControlError, NotFoundError, UnavailableError
from control.gateway.enrolment_server import EnrolmentServer
from control.gateway.gateway import Gateway
from control.gateway.link_store import LinkStore
from control.gateway.server_certificate import ServerCertificate
from control.key_files import public_bytes
from control.model.agents import Life
from control.model.people import Organization
from control.model.policies import Plan, Target
from control.model.policy_documents import Document, Rule
from control.services.agent_messages import AgentMessages
from control.store import agents, people
from control.store.rows import Tx
from protocols.link import vocabulary as words
from protocols.link.errors import TransportError
from protocols.link.signing import LinkKey, Signer
from protocols.link_transport.https_request import HttpRequest
from protocols.pki.chain import read_agent, verify_agent
from protocols.pki.keys import store_key
from tests.simulation.certificates import chain_in, new_authority, shaken
from tests.simulation.failing import CrashError, Weak
from tests.simulation.keys import QuickKey, private_key
from tests.simulation.machine import DeadError, SimWorld
from tests.simulation.network import Network
from tests.simulation.thieves import Theft, steal
from tests.simulation.vault_double import ORG
from tests.simulation.wire import SimPipe

_RULE: Final = Rule(effect="allow", paths=("a/*",), capabilities=("read",))
_CHEAP: Final = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class ControlHalf:
    """One control plane over all its lives."""

    def __init__(
        self,
        folder: Path,
        network: Network,
        agents: list[str],
        chance: random.Random,
        *,
        quick: bool,
    ) -> None:
        """Keys are made of `chance`, here; `quick`: a stand-in signs the frames."""
        self._settings = dev_settings("127.0.0.1:0", folder)
        self._network = network
        self._agents = agents
        self._chance = chance
        self.database = folder / "control.db"
        self.policy_key, link = private_key(chance), private_key(chance)
        keys = folder / "keys"
        keys.mkdir(parents=True)
        for name, key in (
            ("policy", self.policy_key), ("link", link), ("witness", private_key(chance))
        ):  # fmt: skip
            store_key(keys / f"{name}.pem", key)
        self._signer: Signer = LinkKey(link)
        if quick:
            self._signer = QuickKey(public_bytes(link))
        self.trust = new_authority(folder).issuing_state().trust
        self._server = folder / "ca" / "server.pem"
        self.pin = self.trust.pins[0]
        self.core: Core | None = None
        """Of the present life, once it is open."""
        self.gateway: Gateway | None = None
        self._desk: EnrolmentServer | None = None
        self.opened: Callable[[Core], None] = _unseen
        self.agent_shows: Callable[[str], str] = _no_fingerprint
        """An agent → the fingerprint that its operator sees while it asks to join."""
        self.give: Callable[[str, str], None] = _no_token
        """Hand an agent's operator a token."""
        self.in_vain: Callable[[str], bool] = _no_complaint
        """Whether an agent's operator says that what its token brought is of no use."""
        self.weak = Weak(chance)
        """What is wrong with its machine; the fleet brings its own."""
        self.thefts: list[Theft] = []
        self._tokens: dict[str, float] = {}
        self._doubted = False

    async def run(self, world: SimWorld) -> None:
        """One life."""
        self.weak.serving = False
        try:
            async with open_control_plane(self._settings, world, _CHEAP) as core:
                with suppress(UnavailableError):  # its disk is slow; the first life's is not
                    await core.store.write(partial(_populate, world.now()))
                self.core = core
                self.opened(core)
                await self._serve(core)
        except* StopTimeout:  # its disk was too slow for last words: said, and nothing is lost
            if not world.stopping.is_set():
                raise
        finally:
            self.core = self.gateway = self._desk = None

    def rows(self, query: str, *values: object) -> list[Any]:
        """What is durable now."""
        reader = sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)
        try:
            return reader.execute(query, values).fetchall()
        finally:
            reader.close()

    def shows(self, chain: list[bytes]) -> list[bytes]:
        """Its side of a handshake: what it shows to who shows this, or nothing.

        Raises `TransportError`.
        """
        if self.core is None:
            raise TransportError("unreachable", "nobody listens")
        if chain:
            shaken(partial(verify_agent, chain, self.trust, self.core.world.wall()))
        return chain_in(self._server)

    async def answer(
        self, shown: list[bytes], path: str, body: bytes, source: str
    ) -> tuple[int, bytes]:
        """A request for a certificate, as the door has the desk answer it."""
        if self._desk is None or self.core is None:
            raise DeadError
        self._switch(self.core)
        asked = HttpRequest("POST", path, shown[0] if shown else None, source, body)
        answered = await self._desk(asked)
        self._doubted = self._doubted or CLOCK_BEHIND.encode() in answered.body
        return answered.status, answered.body

    def _switch(self, core: Core) -> None:
        """People who were told that the clock is behind, and see that it is right, say so."""
        world, office = (
            cast("SimWorld", core.world),
            cast("CertificateAuthority", core.enrolment.ca),
        )
        office.issuer.clock_guard._checked = not (
            self._doubted and world.is_right()
        )  # `link.check_clock`

    async def _serve(self, core: Core) -> None:
        world = cast("SimWorld", core.world)
        office = cast("CertificateAuthority", core.enrolment.ca)
        certificate = await world.run_sync(ServerCertificate, office, ["control.example"], world)
        self._desk = EnrolmentServer(
            office, core.audit.log, world, core.enrolment_hooks.on_admitted, core.agents.alerts
        )
        self.gateway = gateway = self._gateway(core, office)
        async with (
            run_periodic_jobs([Job("certificate", 300.0, certificate.refresh)], world),
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(gateway.run)
            nursery.start_soon(self._people, core)
            nursery.start_soon(self._doorkeeper, core, office)
            with self._network.listening(nursery, partial(_attend, gateway, certificate)):
                self.weak.serving = True
                await world.stopping.wait()
            self.weak.serving = False
            gateway.close_all()
            await trio.sleep(6)
            nursery.cancel_scope.cancel()

    def _gateway(self, core: Core, office: CertificateAuthority) -> Gateway:
        world = core.world
        intake = AgentMessages(core.policies.policies, core.witness, world)
        return Gateway(
            store=core.store,
            bus=core.bus,
            presence=core.presence,
            revocation=office.revocation,
            link_store=LinkStore(core.store, core.bus, intake, core.witness, world),
            signer=self._signer,
            world=world,
        )

    async def _doorkeeper(self, core: Core, office: CertificateAuthority) -> None:
        """Somebody lets agents in, the first time and after they were locked; somebody steals."""
        while True:
            await core.world.sleep(15)
            with suppress(ControlError):  # he tries again
                await self._let_in(core, office)
            for theft in self.thefts:
                if not theft.over and trio.current_time() >= theft.due:
                    await steal(theft, self._renew, office.revocation, self._network)

    async def _let_in(self, core: Core, office: CertificateAuthority) -> None:
        rows = await core.store.read(lambda tx: agents.list_targeted_agents(tx, ORG))
        known = {agent.vault: agent.life for agent in rows}
        for join in await office.join_requests.list_pending(None, 100):
            if join_fingerprint(join) == self.agent_shows(join.label):
                await office.join_requests.approve_request(
                    join.id, join_fingerprint(join), org=ORG, vault=join.label, by="ann"
                )
        now = trio.current_time()
        for name in self._agents:
            expected = name not in known and name in self._agents[::2]
            vain = self.in_vain(name) and cast("SimWorld", core.world).is_right()
            if not (expected or known.get(name) is Life.LOCKED or vain):
                self._tokens.pop(name, None)
            elif now >= self._tokens.get(name, 0.0):
                token = await office.enrolment.create_token(ORG, name, "ann", replace_agent=True)
                self._tokens[name] = now + 610
                self.give(name, token.text)

    async def _renew(self, shown: list[bytes], body: bytes) -> tuple[int, bytes]:
        """For a thief."""
        self.shows(shown)
        return await self.answer(shown, "/link/v1/renew", body, "thief")

    async def _people(self, core: Core) -> None:
        """Somebody writes policies, rolls them out, retargets them, and asks for things."""
        while True:
            await core.world.sleep(self._chance.expovariate(1 / 150))
            try:
                await self._chance.choice(
                    (self._policy, self._target, self._steer, self._ask, self._ask)
                )(core)
            except (ConflictError, UnavailableError):
                pass  # a roll-out is on its way, an agent is locked, or the database is slow
            except ControlError as error:
                if error.code != "agent_busy":
                    raise

    async def _policy(self, core: Core) -> None:
        name = self._chance.choice(("p", "q"))
        document = Document(rules=(_RULE,), description=str(self._chance.random()))
        version = await core.policies.policies.write_version(ORG, name, document, "", "ann")
        if version.version == 1:
            await core.policies.policies.set_targets(ORG, name, (Target(all=True),))
        plan = self._chance.choice((Plan(), Plan(canary=1, percentages=(50,), max_failures=9)))
        await core.policies.rollouts.start_rollout(ORG, name, version.version, plan, "ann")

    async def _steer(self, core: Core) -> None:
        """A roll-out is hurried, held or taken back."""
        for policy in await core.policies.policies.list_policies(ORG):
            for rollout in await core.policies.rollouts.list_rollouts(ORG, policy.name, 1):
                match self._chance.randrange(3):
                    case 0:
                        await core.policies.rollouts.advance_rollout(
                            ORG, rollout.id, rollout.step, by=rollout.created_by
                        )
                    case 1:
                        await core.policies.rollouts.halt_rollout(
                            ORG, rollout.id, "somebody says so"
                        )
                    case _:
                        await core.policies.rollouts.roll_back_rollout(
                            ORG, rollout.id, "somebody says so"
                        )

    async def _target(self, core: Core) -> None:
        if not any(
            policy.name == "p" for policy in await core.policies.policies.list_policies(ORG)
        ):
            return
        some = self._chance.choice((None, *self._agents))
        targets = (Target(all=True),) if some is None else (Target(vault=some),)
        await core.policies.policies.set_targets(ORG, "p", targets)

    async def _ask(self, core: Core) -> None:
        """A command."""
        vault = self._chance.choice(self._agents)
        word = self._chance.choice(list(words.CommandName))
        with suppress(NotFoundError):  # not let in yet
            await core.agents.commands.send_command(ORG, vault, word, "ann")


def _populate(now: int, tx: Tx) -> None:
    """The organization; the first life makes it."""
    if people.get_organization(tx, ORG) is None:
        people.add_organization(tx, Organization(ORG, ORG, now))


async def _attend(gateway: Gateway, certificate: ServerCertificate, pipe: SimPipe) -> None:
    """As the door does it, which reports what nobody has thought of, and goes on."""
    try:
        peer = read_agent(pipe.peer_certificate)
        await gateway.serve_connection(pipe, peer, certificate.leaf_digest(certificate.context))
    except* (TransportError, CrashError):
        pass
    finally:
        with trio.CancelScope(shield=True):
            await pipe.aclose()


def _unseen(_: Core) -> None:
    """Nobody looks."""


def _no_complaint(_name: str) -> bool:
    return False


def _no_fingerprint(_: str) -> str:
    return ""


def _no_token(_agent: str, _token: str) -> None:
    """Nobody takes it."""
