"""The CA's services over a ledger in memory, and agents that ask them."""

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from actors.testing import FakeWorld
from control.ca.clock_guard import ClockGuard
from control.ca.enrolment import Enrolment
from control.ca.issuer import ControlKeys, Issuer, IssuingState, deactivate_agent
from control.ca.join_requests import JoinRequests
from control.ca.renewal import Renewal
from control.ca.revocation import AgentEnded, Revocation
from control.ca.store import AgentState, CaStore, CaTransaction, EnrolledAgent
from protocols.pki.chain import VerifiedAgent as Peer
from protocols.pki.chain import verify_agent
from protocols.pki.keys import KeyKind, new_curve_key, new_signing_key
from protocols.pki.messages import EnrolRequest, Grant, JoinRequest, RejoinRequest, RenewRequest
from protocols.pki.names import AgentName
from protocols.pki.proof import sign_binding, sign_possession, sign_rejoin
from protocols.pki.requests import create_csr
from tests.support.memory_ca_store import MemoryCaStore
from tests.unit.protocols.pki.samples import NOW, make_pki

PKI = make_pki("ca")
NAME = AgentName.from_slugs("acme", "prod")


class Ca:
    """Everything, with a clock that is told."""

    def __init__(self, ledger: CaStore | None = None, floor: int = 0, begin: int = NOW) -> None:
        self.world = FakeWorld(begin)
        self.ledger = ledger or MemoryCaStore()
        self.followed: list[EnrolledAgent] = []
        self.ended: list[AgentEnded] = []
        past = ClockGuard(self.world, floor)
        standing = IssuingState(PKI.authority, PKI.trust)
        self.issuer = Issuer(standing, ControlKeys(b"l" * 32, b"p" * 32), past, self._follow)
        self.enrolment = Enrolment(self.ledger, self.issuer, self.ended.append, self.world)
        self.revocation = Revocation(self.ledger, self.issuer, self.ended.append, self.world)
        self.renewal = Renewal(self.ledger, self.issuer, self.revocation, self.world)
        self.joining = JoinRequests(self.ledger, self.issuer, self.ended.append, self.world)

    def _follow(self, _tx: CaTransaction, agent: EnrolledAgent) -> None:
        self.followed.append(agent)

    async def token(self, *, replace_agent: bool = False, name: AgentName = NAME) -> str:
        """A token's text."""
        made = await self.enrolment.create_token(*name, "alice", replace_agent=replace_agent)
        return made.text

    async def agent(self, name: AgentName = NAME) -> EnrolledAgent:
        """As the ledger has it."""
        found = await self.ledger.transact(lambda tx: tx.agent(name))
        assert found is not None
        return found

    async def end_agent(self, state: AgentState, reason: str, name: AgentName = NAME) -> None:
        """As the registry ends it, by a person's decision."""
        agent, now = await self.agent(name), self.world.now()
        await self.ledger.transact(lambda tx: deactivate_agent(tx, agent, state, reason, now=now))

    async def revoked(self, name: AgentName = NAME) -> set[str]:
        """Serials of the agent's certificates that were revoked before they expired."""
        issued = await self.ledger.transact(lambda tx: tx.certificates(name, self.world.now()))
        return {each.serial for each in issued if each.revoked_at is not None}

    async def enrolled(self, name: AgentName = NAME) -> "Asking":
        """An agent with a certificate."""
        asking = Asking()
        asking.took(
            await self.enrolment.enrol_agent(asking.enrol(await self.token(name=name))), self
        )
        return asking


class Asking:
    """An agent: its keys, and what it sends."""

    def __init__(self) -> None:
        self.link_key = new_signing_key()
        self.key: EllipticCurvePrivateKey = new_curve_key(KeyKind.LEAF)
        self.held = self.key  # of the certificate that it has
        self.peer: Peer | None = None

    def took(self, grant: Grant, ca: Ca) -> Peer:
        """Keep a grant, after verifying it as TLS would."""
        self.held = self.key
        self.peer = verify_agent(grant.chain, PKI.trust, ca.world.wall())
        return self.peer

    def shown(self) -> Peer:
        """What it shows in a handshake."""
        assert self.peer is not None
        return self.peer

    def fresh(self) -> RenewRequest:
        """A request with a new key."""
        self.key = new_curve_key(KeyKind.LEAF)
        return RenewRequest(csr=create_csr(self.key))

    def enrol(self, token: str) -> EnrolRequest:
        """With its present key."""
        csr = create_csr(self.key)
        public = self.link_key.public_key().public_bytes_raw()
        return EnrolRequest(
            token=token, csr=csr, link_key=public, proof=sign_binding(self.link_key, csr)
        )

    def join(self, org: str = "acme") -> JoinRequest:
        """With its present key."""
        csr = create_csr(self.key)
        public = self.link_key.public_key().public_bytes_raw()
        proof = sign_binding(self.link_key, csr)
        return JoinRequest(csr=csr, link_key=public, proof=proof, org=org, label="host")

    def rejoin(self, *, name: AgentName = NAME) -> RejoinRequest:
        """With a new key."""
        own, csr, serial = self.held, self.fresh().csr, self.shown().leaf.serial
        return RejoinRequest(
            org=name.org,
            vault=name.vault,
            serial=serial,
            csr=csr,
            proof=sign_rejoin(self.link_key, name, serial, csr),
            held=sign_possession(own, name, serial, csr),
        )
