"""A control plane's desk without a network: the CA's own services behind `HttpPost`."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from control.errors import ApiError
from protocols.pki.certificates import parse_pem_chain, to_der
from protocols.pki.chain import verify_agent
from protocols.pki.messages import (
    EnrolRequest,
    JoinRequest,
    RejoinRequest,
    RenewRequest,
    decode_request,
    encode_message,
)
from tests.unit.control.ca.harness import PKI, Ca
from tests.unit.vault.control_link.scene import ListEgress
from vault.control_link.enrol_client import EnrolError, Enroller, EnrolTarget
from vault.control_link.identity import AgentCredential, IdentityStore

DOOR = EnrolTarget(endpoint="https://control.test", pin=PKI.trust.pins[0])


class Office:
    """The desk, an agent's files, and the line between them, which can break."""

    def __init__(self, folder: Path) -> None:
        self.ca = Ca()
        self.folder = folder / "uplink"
        self.store = IdentityStore(self.folder)
        self.egress = ListEgress()
        self._lost = False
        self.enroller = Enroller(self.store, self.egress, self.ca.world, self.post)

    async def post(self, _context: ssl.SSLContext, _endpoint: str, path: str, body: bytes) -> bytes:
        """See `HttpPost`."""
        try:
            answer = await self._answer(path.rpartition("/")[2], body)
        except ApiError as error:
            told = f"the control plane refuses: {error.message}"
            raise EnrolError(told, error.status, error.code) from None
        if self._lost:
            raise EnrolError("the answer was lost")
        return encode_message(answer)

    async def _answer(self, path: str, body: bytes) -> msgspec.Struct:
        ca = self.ca
        match path:
            case "enrol":
                return await ca.enrolment.enrol_agent(decode_request(EnrolRequest, body))
            case "join":
                return await ca.joining.submit_request(
                    decode_request(JoinRequest, body), "192.0.2.1"
                )
            case "renew":
                chain = [
                    to_der(c) for c in parse_pem_chain((self.folder / "agent.crt").read_bytes())
                ]
                peer = verify_agent(chain, PKI.trust, ca.world.now())
                return await ca.renewal.renew(peer, decode_request(RenewRequest, body))
            case _:
                return await ca.renewal.rejoin(decode_request(RejoinRequest, body))

    async def enrolled(self) -> None:
        """Let in by a token."""
        await self.enroller.enrol(DOOR, await self.ca.token())

    @contextmanager
    def loses_the_answer(self) -> Iterator[None]:
        """What is asked in the block is done, and its answer is lost on its way."""
        self._lost = True
        with pytest.raises(EnrolError, match="lost"):
            yield
        self._lost = False

    @property
    def held(self) -> AgentCredential:
        """What the agent holds; it has been let in."""
        found = self.store.load_credential()
        assert found is not None
        return found
