"""Who the agent is to its control plane: keys and certificates in files, whole at every moment.

In one folder, mode 0700, its secrets 0600:

    link.key        Ed25519, made once: signs what the agent says, and lets it come back
    agent.key       P-256, of the certificate in force; may lie where the settings say
    agent.crt       that certificate and its intermediate; the same
    next.key        P-256, of the certificate that is being asked for: stored before it is asked
    roots.pem       the control plane's authorities
    enrolment.json  names, the control plane's public keys, generation; public

They are files, and not sealed rows, because the agent speaks while its vault is sealed, and says
so. A thief of these files can pretend to be this agent, but gets no secret, is noticed at the next
renewal, and does not get the vault's keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from protocols import json_text
from protocols.link.signing import LinkKey, sha256
from protocols.link_transport.tls_contexts import TlsIdentity
from protocols.pki import files, keys, proof, requests
from protocols.pki.certificates import (
    parse_certificate,
    parse_pem_chain,
    public_key,
    to_der,
    to_pem,
)
from protocols.pki.chain import VerifiedAgent, read_agent, verify_agent
from protocols.pki.errors import ChainError, PkiKeyError
from protocols.pki.keys import KeyKind, key_hash
from protocols.pki.messages import Grant
from protocols.pki.names import AgentName
from protocols.pki.trust import TrustStore

FOLDER_MODE: Final = 0o700


class Enrolment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was granted, beside the certificate. `policy_key` is pinned: it never changes.

    `authority`: the pin that the agent was enrolled by, whatever authorities it trusts by now;
    empty for an enrolment of before this was noted.
    """

    endpoint: str
    org: str
    vault: str
    generation: int
    link_key: bytes
    policy_key: bytes
    authority: str = ""


@dataclass(frozen=True, slots=True)
class AgentCredential:
    """An agent that is enrolled. `expires` and `begins`: of its certificate, Unix nanoseconds."""

    enrolment: Enrolment
    name: AgentName
    leaf: bytes
    serial: str
    begins: int
    expires: int
    signer: LinkKey
    trust: TrustStore
    identity: TlsIdentity

    @property
    def peer(self) -> bytes:
        """Which enrolment it is: another name or policy key is another one."""
        held = self.enrolment
        return sha256(f"{held.org}/{held.vault}/".encode() + held.policy_key)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate."""
        return sha256(self.leaf)


class IdentityStore:
    """The files. All of it blocks; every method raises `PkiError` for files that do not fit."""

    def __init__(
        self, folder: Path, certificate: Path | None = None, private_key: Path | None = None
    ) -> None:
        self.folder = folder
        self._certificate = certificate or folder / "agent.crt"
        self._private = private_key or folder / "agent.key"
        self._next = folder / "next.key"
        self._link = folder / "link.key"
        self._roots = folder / "roots.pem"
        self._enrolment = folder / "enrolment.json"

    def prepare(self) -> None:
        """Make the folder and the link key if they are not there."""
        try:
            self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise PkiKeyError(f"cannot make {self.folder}: {error.strerror}") from error
        if not self._link.exists():
            keys.store_key(self._link, keys.new_signing_key())

    def create_request(self) -> bytes:
        """A certificate request. Its key is stored before, so a lost answer can be asked for."""
        if not self._next.exists():
            keys.store_key(self._next, keys.new_curve_key(KeyKind.LEAF))
        return requests.create_csr(keys.load_curve_key(self._next, KeyKind.LEAF))

    def prove_link_key(self, csr: bytes) -> tuple[bytes, bytes]:
        """The link key's public half, and its proof for a first request."""
        key = keys.load_signing_key(self._link)
        return LinkKey(key).public, proof.sign_binding(key, csr)

    def prove_rejoin(self, held: AgentCredential, csr: bytes) -> tuple[bytes, bytes]:
        """The proofs for coming back: the link key's, and the expired certificate's."""
        asked = held.name, held.serial, csr
        own = keys.load_curve_key(self._private, KeyKind.LEAF)
        return proof.sign_rejoin(keys.load_signing_key(self._link), *asked), proof.sign_possession(
            own, *asked
        )

    def discard_next_key(self) -> None:
        """Ask with another key from now on: this one was refused."""
        self._next.unlink(missing_ok=True)

    def load_credential(self) -> AgentCredential | None:
        """Who the agent is; None before it was ever let in."""
        if not self._enrolment.exists():
            return None
        self._finish()
        enrolment = self._read_enrolment()
        chain = [to_der(c) for c in parse_pem_chain(files.read_file(self._certificate))]
        trust = TrustStore.from_pem(files.read_file(self._roots))
        agent = _read_agent(chain, enrolment)
        own = keys.load_curve_key(self._private, KeyKind.LEAF)
        if key_hash(own.public_key()) != agent.leaf.key:  # not secret: of public keys
            raise PkiKeyError(f"{self._private} is not the key of {self._certificate}")
        return AgentCredential(
            enrolment=enrolment,
            name=agent.name,
            leaf=chain[0],
            serial=agent.leaf.serial,
            begins=agent.leaf.not_before,
            expires=agent.leaf.not_after,
            signer=LinkKey(keys.load_signing_key(self._link)),
            trust=trust,
            identity=TlsIdentity(self._certificate, self._private),
        )

    def store_enrolment(self, grant: Grant, endpoint: str, trust: TrustStore, now: int) -> None:
        """Take the first grant: its names and keys hold from now on, its roots must be `trust`'s.

        Raises `ChainError` when it is not for our key or leads nowhere.
        """
        enrolment = Enrolment(
            endpoint=endpoint,
            org=grant.org,
            vault=grant.vault,
            generation=grant.generation,
            link_key=grant.link_key,
            policy_key=grant.policy_key,
            authority=trust.pins[0],
        )
        self._take(grant, enrolment, trust, now, renewing=False)

    def store_renewal(self, grant: Grant, now: int) -> None:
        """Take a further grant. Names and policy key stay as they were enrolled.

        A control plane that was taken over could otherwise, by another name or key, make the agent
        forget which policies it has. Raises `ChainError` for such a grant.
        """
        held, trust = self._read_enrolment(), TrustStore.from_pem(files.read_file(self._roots))
        if (grant.org, grant.vault) != (held.org, held.vault):
            raise ChainError("the grant is for another agent than was enrolled")
        if grant.policy_key != held.policy_key:
            raise ChainError("the grant brings another policy key; only enrolling anew changes it")
        if grant.generation < held.generation:
            raise ChainError("the grant is older than the certificate in force")
        changed = replace(held, generation=grant.generation, link_key=grant.link_key)
        self._take(grant, changed, trust, now, renewing=True)

    def _take(
        self, grant: Grant, enrolment: Enrolment, trust: TrustStore, now: int, *, renewing: bool
    ) -> None:
        """Verify and store. After a crash, `load_credential` finds the old identity or the new one.

        The certificate decides: until it is replaced the old one counts, from then on `_finish`
        moves the key to it. Roots and keys of the control plane before it: they say what is trusted
        from now on, and asking again for the same certificate brings them again.
        """
        roots = [parse_certificate(root) for root in grant.roots]
        cross = None if grant.cross is None else parse_certificate(grant.cross)
        trusted = trust.updated(roots, cross)
        agent = verify_agent(grant.chain, trusted, now)
        own = keys.load_curve_key(self._next, KeyKind.LEAF)
        if agent.name != (enrolment.org, enrolment.vault):
            raise ChainError("the certificate names another agent than the grant")
        if agent.leaf.key != key_hash(own.public_key()):  # not secret: of public keys
            raise ChainError("the certificate is for another key than ours")
        chain = to_pem([parse_certificate(certificate) for certificate in grant.chain])
        files.write_atomically(self._roots, trusted.to_pem(), files.PUBLIC_MODE, replace=True)
        if renewing:
            self._write_enrolment(enrolment)
        files.write_atomically(self._certificate, chain, files.PUBLIC_MODE, replace=True)
        if not renewing:  # there is no identity before this
            self._write_enrolment(enrolment)
        self._finish()

    def _finish(self) -> None:
        """Move the new key to its certificate, if that is still to be done."""
        if not self._next.exists():
            return
        chain = parse_pem_chain(files.read_file(self._certificate))
        own = keys.load_curve_key(self._next, KeyKind.LEAF)
        if key_hash(public_key(chain[0])) == key_hash(own.public_key()):  # not secret: public
            keys.store_key(self._private, own, replace=True)
            self._next.unlink()
            files.sync_directory(self.folder)

    def _write_enrolment(self, enrolment: Enrolment) -> None:
        files.write_atomically(
            self._enrolment, msgspec.json.encode(enrolment), files.PUBLIC_MODE, replace=True
        )

    def _read_enrolment(self) -> Enrolment:
        try:
            return json_text.decode(files.read_file(self._enrolment), type=Enrolment)
        except msgspec.MsgspecError:
            raise PkiKeyError(f"{self._enrolment} is not what an enrolment writes") from None


def _read_agent(chain: Sequence[bytes], enrolment: Enrolment) -> VerifiedAgent:
    """The agent that the stored certificate names; it was verified when it was stored."""
    agent = read_agent(chain[0])
    if agent.name != (enrolment.org, enrolment.vault):
        raise ChainError("the stored certificate names another agent than was enrolled")
    return agent
