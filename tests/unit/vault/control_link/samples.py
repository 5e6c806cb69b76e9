"""An enrolled agent's keys, certificate and bundles, and a world on Trio's clock."""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from actors.testing import FakeWorld
from protocols.link.bundle import ZERO_HASH, Bundle, PolicyKey, hash_of, sign_bundle
from protocols.link.signing import LinkKey
from protocols.pki.names import AgentName
from vault.control_link.identity import AgentCredential, Enrolment

AGENT_KEY = LinkKey.from_seed(b"a" * 32)
CONTROL_KEY = LinkKey.from_seed(b"c" * 32)
POLICY_KEY = PolicyKey(Ed25519PrivateKey.from_private_bytes(b"p" * 32))
LEAF, CONTROL_LEAF = b"agent leaf", b"control leaf"
ORG, VAULT = "acme", "prod"
NANO, DAY = 1_000_000_000, 86_400


def fixed(label: str, size: int = 16) -> bytes:
    """Bytes that look random and are the same every time."""
    return hashlib.shake_256(label.encode()).digest(size)


def credential(world: FakeWorld, life: float = 30 * DAY, generation: int = 1) -> AgentCredential:
    """An enrolled agent without files."""
    enrolment = Enrolment(
        endpoint="https://control.test",
        org=ORG,
        vault=VAULT,
        generation=generation,
        link_key=CONTROL_KEY.public,
        policy_key=POLICY_KEY.public,
    )
    now = world.now()
    return AgentCredential(
        enrolment=enrolment,
        name=AgentName(ORG, VAULT),
        leaf=LEAF + b"%d" % generation,
        serial=f"{generation:040x}",
        begins=now,
        expires=now + round(life * NANO),
        signer=AGENT_KEY,
        trust=None,  # type: ignore[arg-type]  # there is no TLS here
        identity=None,  # type: ignore[arg-type]  # the same
    )


def bundle(version: int, *rules: bytes, prev: bytes = ZERO_HASH, key: PolicyKey = POLICY_KEY,
           org: str = ORG, expires: int = 2**60) -> bytes:  # fmt: skip
    """A signed bundle."""
    made = Bundle(
        org=org,
        vault=VAULT,
        version=version,
        prev_hash=prev,
        not_before=0,
        expires=expires,
        rules=rules,
    )
    return sign_bundle(made, key)


def digest_of(signed: bytes) -> bytes:
    """What the next bundle names as its predecessor."""
    return hash_of(signed[64:])
