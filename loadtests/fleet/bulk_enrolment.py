"""Many agents let in at once: the control plane's own authority and ledger, without its server.

The control plane must not run meanwhile: it reads what is on record when it starts.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from actors import SystemWorld
from control.ca.clock_guard import ClockGuard
from control.ca.directory import CaDirectory
from control.ca.issuer import ControlKeys, Issuer, verify_request
from control.ca.store import CaTransaction, IssuedCertificate
from control.crypto import SigningKey
from control.key_files import public_bytes, read_signing_key
from control.store.ca_store import SqlCaStore
from control.store.store import open_store
from protocols.link.bundle import PolicyKey
from protocols.pki.certificates import parse_certificate, to_pem
from protocols.pki.keys import KeyKind, encode_private, new_curve_key, new_signing_key
from protocols.pki.messages import Grant
from protocols.pki.names import AgentName
from protocols.pki.requests import create_csr

AT_ONCE: Final = 100
"""Agents of one transaction."""


class EnrolledAgent(Struct, frozen=True):
    """What an agent holds once it is enrolled. `certificate`: PEM of its chain and key."""

    grant: Grant
    certificate: str
    link_seed: bytes


async def enrol_agents(folder: Path, org: str, count: int, clients: int) -> list[Path]:
    """Enrol `count` agents with the control plane in `folder` (`control dev`), which is stopped.

    Returns a file of recruits for each of the client processes.
    """
    world = SystemWorld()
    keys = ControlKeys(
        public_bytes(read_signing_key(folder / "keys", "link")),
        PolicyKey(read_signing_key(folder / "keys", "policy")).public,
    )
    issuer = Issuer(CaDirectory(folder / "ca").issuing_state(), keys, ClockGuard(world))
    crew: list[EnrolledAgent] = []
    async with open_store(f"sqlite:///{quote(str(folder))}/control.db", world) as store:
        ledger = SqlCaStore(store)
        names = _names(org, count)
        while some := list(islice(names, AT_ONCE)):
            wishes = [_PendingAgent.of(name) for name in some]
            granted = await ledger.transact(_step(issuer, wishes, world.now()))
            crew += [
                wish.recruit(issuer.grant_for(issued), folder)
                for wish, issued in zip(wishes, granted, strict=True)
            ]
    return list(_shared_out(crew, folder, clients))


def load_agents(file: Path) -> list[EnrolledAgent]:
    """The recruits of one client process."""
    return msgspec.msgpack.decode(file.read_bytes(), type=list[EnrolledAgent])


class _PendingAgent(Struct):
    """A newcomer's keys and its request."""

    name: AgentName
    leaf: bytes
    csr: bytes
    link: SigningKey

    @classmethod
    def of(cls, name: AgentName) -> "_PendingAgent":
        key = new_curve_key(KeyKind.LEAF)
        return cls(name, encode_private(key), create_csr(key), new_signing_key())

    def recruit(self, grant: Grant, folder: Path) -> EnrolledAgent:
        chain = to_pem([parse_certificate(der) for der in grant.chain])
        file = folder / "crew" / f"{self.name.vault}.pem"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(chain + self.leaf)
        return EnrolledAgent(grant, str(file), self.link.private_bytes_raw())


def _step(
    issuer: Issuer, wishes: Sequence[_PendingAgent], now: int
) -> Callable[[CaTransaction], list[IssuedCertificate]]:
    def step(tx: CaTransaction) -> list[IssuedCertificate]:
        return [
            issuer.enrol(
                tx, wish.name, verify_request(wish.csr), public_bytes(wish.link), now
            ).issued
            for wish in wishes
        ]

    return step


def _names(org: str, count: int) -> Iterator[AgentName]:
    return (AgentName(org, f"vault-{number:05}") for number in range(count))


def _shared_out(crew: list[EnrolledAgent], folder: Path, clients: int) -> Iterator[Path]:
    for client in range(clients):
        file = folder / "crew" / f"client-{client}.msgpack"
        file.write_bytes(msgspec.msgpack.encode(crew[client::clients]))
        yield file
