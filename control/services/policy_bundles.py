"""Makes the next signed bundle of an agent.

Versions of one agent's bundles only grow, and each names the hash of the one before. An agent with
a newer version than ours (our database came from a backup) gets a version above its own.
"""

import logging
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from control.errors import NotFoundError
from control.model.policies import Assignment, AssignmentState, Outcome
from control.store import policies
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.link.bundle import NO_BUNDLE, Bundle, PolicySigner, hash_of, sign_bundle
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.limits import MAX_BUNDLE, MAX_RULES

log: Final = logging.getLogger("freehold.control.policies")

_MILLI: Final = 10**6
ENVELOPE_BYTES: Final = 512
"""More than the bytes of a bundle beside its rules: names of at most 64, hashes and numbers."""
HEAD_BYTES: Final = 5  # bytes before a rule in msgpack, at most
RENEW_BEFORE: Final = 300 * SECOND
"""A bundle is valid from before now on, for agents whose clock is behind (the link's bound)."""


class BundleTerms(Struct, frozen=True):
    """`life`: how long a bundle may be accepted, in nanoseconds. An accepted one stays in force."""

    signer: PolicySigner
    life: int


def assign_bundles(
    tx: Tx, terms: BundleTerms, org: str, wanted: Mapping[str, dict[str, int]], *, now: int
) -> tuple[list[Assignment], list[str]]:
    """Store the next bundle of each agent (vault → contents) whose contents change.

    Agents whose policies exceed a bundle keep the one that they have, and are returned for an
    alert. (`Rollouts.start_rollout` refuses a version that does not fit; tags and targets can have
    the same effect.)
    """
    known = {row.vault: row for row in policies.get_assignment_states(tx, org, list(wanted))}
    documents = BundleDocuments(tx, org)
    made, full = [], []
    for vault, contents in wanted.items():
        last = known.get(vault) or _no_assignment(org, vault)
        if last.contents == contents:
            continue
        if documents.fits_bundle(contents):
            made.append(_next_bundle(documents, terms, last, contents, now=now))
        else:
            full.append(vault)
    if full:
        told = "%d agents of %s should have more policies than a bundle holds, %s among them"
        log.warning(told, len(full), org, full[0])
    policies.put_assignments(tx, *made)
    return made, full


def renew_bundle(
    tx: Tx, terms: BundleTerms, last: AssignmentState, contents: dict[str, int], *, now: int
) -> Assignment:
    """Store a bundle above `last` and above the agent's own version."""
    made = _next_bundle(BundleDocuments(tx, last.org), terms, last, contents, now=now)
    policies.put_assignments(tx, made)
    return made


class BundleDocuments:
    """Documents in the encoding of bundles, each read once in a transaction.

    `known`: documents of versions that are not stored yet.
    """

    def __init__(
        self, tx: Tx, org: str, known: Mapping[tuple[str, int], bytes] | None = None
    ) -> None:
        self._tx = tx
        self._org = org
        self._found = dict(known or {})

    def encoded_rules(self, contents: Mapping[str, int]) -> tuple[bytes, ...]:
        """UTF-8 JSON of each policy, by name."""
        return tuple(self._encoded(name, number) for name, number in sorted(contents.items()))

    def version_size(self, name: str, number: int) -> int:
        """Bytes of this version."""
        return len(self._encoded(name, number))

    def fits_bundle(self, contents: Mapping[str, int]) -> bool:
        """Whether a bundle can hold these policies."""
        if len(contents) > MAX_RULES:
            return False
        return (
            sum(len(one) + HEAD_BYTES for one in self.encoded_rules(contents)) + ENVELOPE_BYTES
            <= MAX_BUNDLE
        )

    def _encoded(self, name: str, number: int) -> bytes:
        found = self._found.get((name, number))
        if found is None:
            version = policies.get_version(self._tx, self._org, name, number)
            if version is None:
                raise NotFoundError("not_found", "there is no such version")
            found = self._found[name, number] = msgspec.json.encode(version.document)
        return found


def _next_bundle(
    documents: BundleDocuments,
    terms: BundleTerms,
    last: AssignmentState,
    contents: dict[str, int],
    *,
    now: int,
) -> Assignment:
    version = last.version + 1
    if last.applied > last.version:  # we went back: leave a gap, for we lack the hash it follows
        version = last.applied + 2
    bundle = Bundle(
        org=last.org,
        vault=last.vault,
        version=version,
        prev_hash=last.digest if version == last.version + 1 else NO_BUNDLE,
        not_before=(now - RENEW_BEFORE) // _MILLI,
        expires=(now + terms.life) // _MILLI,
        rules=documents.encoded_rules(contents),
    )
    signed = sign_bundle(bundle, terms.signer)
    return Assignment(
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


def _no_assignment(org: str, vault: str) -> AssignmentState:
    return AssignmentState(
        org=org,
        vault=vault,
        version=0,
        contents={},
        digest=NO_BUNDLE,
        outcome=Outcome.APPLIED,
        reason="",
        applied=0,
        changed_at=0,
    )
