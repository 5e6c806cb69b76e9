"""Who is there: `Hello` and `Welcome` make a session of two fresh nonces and one TLS connection.

The agent signs its `Hello` (session 0, sequence 0); the control plane answers with `Welcome` in
the session that follows from both; the agent's first frame in that session proves that its
`Hello` was not a recording. Both ends know both certificates, and hash them into the session: a
session cannot be carried over to another TLS connection's identity.

The version that they speak is the highest that both know, and part of the session too: nobody in
between can talk two new ends into an old one. Greetings themselves are in the first.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocols.link.errors import Fault, LocalFaultError, RemoteFaultError
from protocols.link.fields import HASH_SIZE, ID_SIZE
from protocols.link.messages import Hello, Welcome
from protocols.link.signing import sha256

DOMAIN: Final = b"freehold-link-session-v1\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelBinding:
    """What TLS has proven: whose agent, and SHA-256 over the DER of both leaf certificates."""

    org: str
    vault: str
    agent_certificate: bytes
    control_certificate: bytes

    def __post_init__(self) -> None:
        if {len(self.agent_certificate), len(self.control_certificate)} != {HASH_SIZE}:
            raise LocalFaultError("a channel is bound to SHA-256 hashes of both certificates")


def derive_session_id(
    channel: ChannelBinding, agent_nonce: bytes, control_nonce: bytes, version: int
) -> bytes:
    """The first 16 bytes of SHA-256 over domain, version, certificates, nonces and names."""
    names = b"".join(_sized(name.encode()) for name in (channel.org, channel.vault))
    return sha256(
        DOMAIN
        + version.to_bytes(2)
        + channel.agent_certificate
        + channel.control_certificate
        + agent_nonce
        + control_nonce
        + names
    )[:ID_SIZE]


def check_hello(
    hello: Hello, vault_id: str, channel: ChannelBinding, versions: Sequence[int]
) -> int:
    """What the control plane asks of a `Hello`; the version to speak, one of `versions`.

    Raises `RemoteFaultError`: `identity`, `version`.

    The certificate decides who speaks; a `Hello` that says otherwise is not corrected but refused.
    """
    if (hello.org, vault_id) != (channel.org, channel.vault):
        raise RemoteFaultError(Fault.IDENTITY, "the hello names another agent than its certificate")
    common = set(hello.versions).intersection(versions)
    if not common:
        raise RemoteFaultError(Fault.VERSION, f"versions {_told(versions)} are spoken here")
    return max(common)


def check_welcome(welcome: Welcome, nonce: bytes, versions: Sequence[int]) -> None:
    """What the agent asks of a `Welcome`. Raises `RemoteFaultError`: `version`, `nonce`."""
    if welcome.version not in versions:
        raise RemoteFaultError(Fault.VERSION, f"versions {_told(versions)} were offered")
    if not hmac.compare_digest(welcome.agent_nonce, nonce):
        raise RemoteFaultError(Fault.NONCE, "the welcome answers another hello")


def check_nonce(nonce: bytes) -> bytes:
    """Our own nonce, if it has its 16 bytes; raises `LocalFaultError`."""
    if len(nonce) != ID_SIZE:
        raise LocalFaultError(f"a nonce has {ID_SIZE} bytes, never used before")
    return nonce


def _told(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions))


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(1) + data
