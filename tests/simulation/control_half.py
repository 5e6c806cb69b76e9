"""The control plane of a simulated fleet: the product's own, on a real SQLite file."""

import hashlib
import random
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import trio
from argon2 import PasswordHasher

from control.api.plane import Plane
from control.ca.issuer import Issuer
from control.ca.ledger import Agent, AgentState, Issued
from control.ca.revocation import Revocation
from control.config.load import dev_settings
from control.errors import ConflictError, ControlError
from control.gateway.ends import Ends
from control.gateway.gateway import Gateway
from control.model.documents import Document, Rule
from control.model.links import Command
from control.model.people import Organization
from control.model.policies import Plan, Target
from control.services import outbox
from control.services.events import Event, Topic
from control.services.intake import Intake
from control.store import links, people
from control.store.ledger import SqlLedger, SqlLedgerTx
from control.store.rows import Tx
from control.unit import open_plane
from protocols.link import messages as m
from protocols.link import vocabulary as words
from protocols.link.errors import PipeError
from protocols.link.signing import Signer
from protocols.pki.chain import Agent as Peer
from protocols.pki.chain import Leaf
from protocols.pki.keys import store_key
from protocols.pki.names import AgentName
from tests.simulation.faults import CONTROL
from tests.simulation.keys import private_key
from tests.simulation.machine import SimWorld
from tests.simulation.network import Network
from tests.simulation.vault_double import ORG
from tests.simulation.wire import SimPipe

FOREVER: Final = 2**62  # certificates are not what is simulated here
_RULE: Final = Rule(effect="allow", paths=("a/*",), capabilities=("read",))
_CHEAP: Final = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_MILLI: Final = 1_000_000


def certificate_of(name: str) -> bytes:
    """What TLS shows of somebody."""
    return b"certificate of " + name.encode()


def peer_of(name: str) -> Peer:
    """An agent as TLS has proven it."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    leaf = Leaf(f"freehold://{ORG}/vaults/{name}", digest[:40], digest.encode(), 0, FOREVER)
    return Peer(AgentName(ORG, name), leaf)


class ControlHalf:
    """One control plane over all its lives."""

    def __init__(
        self, folder: Path, network: Network, link_keys: dict[str, bytes], chance: random.Random
    ) -> None:
        """`link_keys`: agent → its public key, as enrolled. Keys are made of `chance`, here."""
        self._settings = dev_settings("127.0.0.1:0", folder).model_copy(update={"link": None})
        self._network = network
        self._link_keys = link_keys
        self._chance = chance
        self.database = folder / "control.db"
        self.policy_key = private_key(chance)
        keys = folder / "keys"
        keys.mkdir(parents=True)
        for name, key in (
            ("policy", self.policy_key),
            *((n, private_key(chance)) for n in ("witness", "link")),
        ):
            store_key(keys / f"{name}.pem", key)
        self.plane: Plane | None = None
        """Of the present life, once it is open."""
        self.opened: Callable[[Plane], None] = _unseen

    async def run(self, world: SimWorld, signer: Signer) -> None:
        """One life."""
        try:
            async with open_plane(self._settings, world, _CHEAP) as plane:
                await plane.store.write(partial(self._populate, world.now()))
                self.plane = plane
                self.opened(plane)
                await self._serve(plane, self._gateway(plane, signer))
        finally:
            self.plane = None

    def rows(self, query: str) -> list[Any]:
        """What is durable now."""
        reader = sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)
        try:
            return reader.execute(query).fetchall()
        finally:
            reader.close()

    async def _serve(self, plane: Plane, gateway: Gateway) -> None:
        world = cast("SimWorld", plane.world)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.run)
            nursery.start_soon(self._people, plane)
            with self._network.listening(nursery, partial(_attend, gateway)):
                await world.stopping.wait()
            gateway.leave()
            await trio.sleep(6)
            nursery.cancel_scope.cancel()

    def _gateway(self, plane: Plane, signer: Signer) -> Gateway:
        world = plane.world
        nobody_is_ended = cast("Issuer", None)
        ledger = SqlLedger(plane.store)
        intake = Intake(plane.policies, plane.witness, world)
        return Gateway(
            store=plane.store,
            bus=plane.bus,
            watch=plane.watch,
            revocation=Revocation(ledger, nobody_is_ended, lambda _: None, world),
            ends=Ends(plane.store, plane.bus, intake, plane.witness, world),
            signer=signer,
            world=world,
        )

    def _populate(self, now: int, tx: Tx) -> None:
        """The organization and its agents, as enrolment leaves them; the first life does it."""
        if people.organization(tx, ORG) is not None:
            return
        people.add_organization(tx, Organization(ORG, ORG, now))
        ledger = SqlLedgerTx(tx)
        for name, key in self._link_keys.items():
            peer = peer_of(name)
            ledger.put_agent(
                Agent(
                    name=peer.name,
                    state=AgentState.ACTIVE,
                    generation=1,
                    confirmed=1,
                    link_key=key,
                    enrolled_at=now,
                    changed_at=now,
                )
            )
            ledger.put_certificate(
                Issued(
                    serial=peer.leaf.serial,
                    key=peer.leaf.key,
                    name=peer.name,
                    generation=1,
                    der=certificate_of(name),
                    issuer="simulation",
                    not_before=0,
                    not_after=FOREVER,
                )
            )

    async def _people(self, plane: Plane) -> None:
        """Somebody writes policies, rolls them out, retargets them, and asks for things."""
        while True:
            await plane.world.sleep(self._chance.expovariate(1 / 150))
            try:
                await self._chance.choice((self._policy, self._target, self._ask, self._ask))(plane)
            except ConflictError:
                pass  # a roll-out is on its way
            except ControlError as error:
                if error.code != "agent_busy":
                    raise

    async def _policy(self, plane: Plane) -> None:
        name = self._chance.choice(("p", "q"))
        document = Document(rules=(_RULE,), description=str(self._chance.random()))
        version = await plane.policies.write(ORG, name, document, "", "ann")
        if version.version == 1:
            await plane.policies.point(ORG, name, (Target(all=True),))
        plan = self._chance.choice((Plan(), Plan(canary=1, percentages=(50,), max_failures=9)))
        await plane.rollouts.start(ORG, name, version.version, plan, "ann")

    async def _target(self, plane: Plane) -> None:
        if not any(policy.name == "p" for policy in await plane.policies.every(ORG)):
            return
        some = self._chance.choice((None, *self._link_keys))
        targets = (Target(all=True),) if some is None else (Target(vault=some),)
        await plane.policies.point(ORG, "p", targets)

    async def _ask(self, plane: Plane) -> None:
        """A command, as the API has it wait."""
        vault = self._chance.choice(list(self._link_keys))
        id_, now = UUID(plane.world.new_id()).bytes, plane.world.now()
        word = self._chance.choice(list(words.CommandName))
        expires = now + 10**12
        row = Command(ORG, id_.hex(), vault, word, "ann", now, expires, "", 0)
        asked = m.Command(command_id=id_, command=word, expires_at=expires // _MILLI)
        stream = UUID(plane.world.new_id()).bytes

        def change(tx: Tx) -> int:
            links.put_command(tx, row)
            return outbox.append(tx, outbox.ensure(tx, ORG, vault, stream), asked).newest

        newest = await plane.store.write(change)
        plane.bus.publish(Event(Topic.OUTBOX, ORG, vault, newest))


async def _attend(gateway: Gateway, pipe: SimPipe) -> None:
    """As the door does it."""
    try:
        await gateway.attend(
            pipe, peer_of(pipe.conn.agent), hashlib.sha256(certificate_of(CONTROL)).digest()
        )
    except PipeError:
        pass
    finally:
        with trio.CancelScope(shield=True):
            await pipe.aclose()


def _unseen(_: Plane) -> None:
    """Nobody looks."""
