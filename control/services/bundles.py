"""The signed bundle that an agent should have next.

Versions of one agent's bundles only grow, each names the hash of the one before, and an agent that
is ahead of us (our database came from a backup) gets a version above its own.
"""

from typing import Final

import msgspec
from msgspec import Struct

from control.model.policies import Assignment, Outcome
from control.store import policies
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.link.bundle import NO_BUNDLE, Bundle, PolicySigner, hash_of, sign_bundle
from protocols.link.fields import SIGNATURE_SIZE

_MILLI: Final = 10**6
EARLY: Final = 300 * SECOND
"""A bundle is valid from before now on, for agents whose clock is behind (the link's bound)."""


class Terms(Struct, frozen=True):
    """`life`: how long a bundle may be accepted, in nanoseconds; in force it stays for good."""

    signer: PolicySigner
    life: int


def assign(
    tx: Tx, terms: Terms, org: str, vault: str, contents: dict[str, int], *, now: int
) -> Assignment | None:
    """Store the agent's next bundle; None when it should have what it should have already."""
    last = policies.assignment(tx, org, vault)
    if last is None:
        if not contents:
            return None
        last = _nothing(org, vault)
    elif last.contents == contents:
        return None
    return renew(tx, terms, last, contents, now=now)


def renew(
    tx: Tx, terms: Terms, last: Assignment, contents: dict[str, int], *, now: int
) -> Assignment:
    """Store a bundle above `last` and above what the agent says it has."""
    version = last.version + 1
    if last.applied > last.version:  # we went back: leave a gap, for we lack the hash it follows
        version = last.applied + 2
    bundle = Bundle(
        org=last.org,
        vault=last.vault,
        version=version,
        prev_hash=last.digest if version == last.version + 1 else NO_BUNDLE,
        not_before=(now - EARLY) // _MILLI,
        expires=(now + terms.life) // _MILLI,
        rules=tuple(_documents(tx, last.org, contents)),
    )
    signed = sign_bundle(bundle, terms.signer)
    made = Assignment(
        org=last.org,
        vault=last.vault,
        version=version,
        contents=contents,
        digest=hash_of(signed[SIGNATURE_SIZE:]),
        bundle=signed,
        outcome=Outcome.WANTED,
        reason="",
        applied=last.applied,
        changed_at=now,
    )
    policies.put_assignments(tx, made)
    return made


def _documents(tx: Tx, org: str, contents: dict[str, int]) -> list[bytes]:
    found = (policies.version(tx, org, name, number) for name, number in sorted(contents.items()))
    return [msgspec.json.encode(version.document) for version in found if version is not None]


def _nothing(org: str, vault: str) -> Assignment:
    return Assignment(
        org=org,
        vault=vault,
        version=0,
        contents={},
        digest=NO_BUNDLE,
        bundle=b"",
        outcome=Outcome.APPLIED,
        reason="",
        applied=0,
        changed_at=0,
    )
