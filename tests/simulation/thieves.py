"""Thieves: nobody gets a certificate by a copy of an agent's without its being noticed.

Not at once: as long as the agent only goes on, nobody can tell. What must end it is the agent's
next renewal; and its next session, once the thief was seen with what he got.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from control.ca.revocation import Revocation
from control.errors import ControlError
from control.gateway.gateway import Gateway
from protocols.link.errors import TransportError
from protocols.pki.chain import read_agent
from protocols.pki.keys import KeyKind, key_hash, new_curve_key
from protocols.pki.messages import Grant, RenewRequest, decode_response, encode_message
from protocols.pki.profile import SKEW
from protocols.pki.requests import create_csr
from tests.simulation.network import Network
from tests.simulation.oracle import broken
from tests.simulation.vault_double import ORG

Rows = Callable[..., list[Any]]
"""What a query with its values finds in the control plane's database."""
Renew = Callable[[list[bytes], bytes], Awaitable[tuple[int, bytes]]]
"""Ask the desk for the next certificate, showing a chain. Raises `TransportError`."""

_OK: Final = 200  # HTTP's
_NEWEST: Final = """
SELECT 1 FROM ca_certificates c JOIN ca_agents a USING (org, vault, generation)
WHERE vault = ? AND a.state = 'active' AND c.key = ? AND c.revoked_at IS NULL"""
_NOTICED: Final = "SELECT 1 FROM ca_certificates WHERE key = ? AND revoked_at IS NOT NULL"
_FOLLOWED: Final = """
SELECT n.generation FROM ca_certificates c JOIN ca_certificates n USING (org, vault)
WHERE n.generation = c.generation + 1 AND n.not_before + ? < c.not_after
AND c.key = ? AND c.revoked_at IS NULL"""
"""What was over before the next was given, unused, is nobody's any more (`control.ca.renewal`)."""
_TOLD: Final = """
SELECT coalesce(sum(count), 0) FROM alerts WHERE vault = ? AND code = 'agent_locked'"""


@dataclass
class Theft:
    """Somebody has what an agent shows, and will ask for the next certificate at `due`."""

    vault: str
    shown: list[bytes]
    due: float
    connects: bool
    """He uses what he gets, too."""
    key: bytes = b""
    """The hash of his own, once he has asked."""
    used: int | None = None
    """How many connections there had been when he connected; None: he did not, or was noticed."""
    over: bool = False


async def steal(theft: Theft, renew: Renew, revocation: Revocation, network: Network) -> None:
    """With a key of his own and the agent's certificate he asks for the next."""
    theft.over = True
    key = new_curve_key(KeyKind.LEAF)
    theft.key = key_hash(key.public_key())
    with suppress(TransportError, ControlError):
        status, answer = await renew(theft.shown, encode_message(RenewRequest(csr=create_csr(key))))
        granted = decode_response(answer) if status == _OK else None
        if isinstance(granted, Grant) and theft.connects:
            await revocation.admit_peer(read_agent(granted.chain[0]))
            theft.used = len(network.arrivals)


def watched(thefts: list[Theft], gateway: Gateway | None, rows: Rows) -> None:
    """No agent has a session that began after a thief was seen with a newer certificate."""
    for theft in thefts:
        live: Any = None
        if theft.used is not None and gateway is not None:
            live = gateway.connections.active_connection(ORG, theft.vault)
        if live is None or live._pipe.conn.number <= theft.used:
            continue
        if rows(_NEWEST, theft.vault, theft.key):
            broken("theft", f"{theft.vault} goes on beside a thief")
        theft.used = None


def settled(thefts: list[Theft], rows: Rows) -> None:
    """After a thief's certificate none was given but to who was enrolled anew; people know why."""
    noticed = Counter(theft.vault for theft in thefts if rows(_NOTICED, theft.key))
    for theft in thefts:
        if followed := rows(_FOLLOWED, SKEW, theft.key):
            broken("theft", f"{theft.vault} got generation {followed[0][0]} after a thief's")
    for vault, times in noticed.items():
        if rows(_TOLD, vault)[0][0] < times:
            broken("theft", f"{vault} was locked and nobody told")
