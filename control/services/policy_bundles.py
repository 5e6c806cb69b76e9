"""Makes the next signed bundle of an agent.

Versions of one agent's bundles only grow, and each names the hash of the one before. An agent with
a newer version than ours (our database came from a backup) gets a version above its own.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from control.errors import NotFoundError, ValidationError
from control.model.policies import Assignment, AssignmentState, Outcome, Policy
from control.services.desired_state import desired_contents, targeted_agents
from control.store import agents, policies
from control.store.rows import Tx
from protocols.instant import SECOND
from protocols.link.bundle import ZERO_HASH, Bundle, PolicySigner, hash_of, sign_bundle
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
        prev_hash=last.digest if version == last.version + 1 else ZERO_HASH,
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
        digest=ZERO_HASH,
        outcome=Outcome.APPLIED,
        reason="",
        applied=0,
        changed_at=0,
    )


# Whether the policies that agents should have fit into their bundles.


LIMIT_TEXT: Final = f"more than a bundle holds ({MAX_BUNDLE >> 10} KiB, {MAX_RULES} policies)"

FitsBundle = Callable[[Mapping[str, int]], bool]


def require_capacity(tx: Tx, org: str, policy: Policy, version: int, draft: Any = None) -> None:
    """Raise `ValidationError` (`bundle_too_large`) for a version that some bundle cannot hold.

    `draft`: the document of a version that is not stored yet. Only bundles that this version makes
    too large count: an agent whose bundle is too large without it (by a tag or a target) blocks
    nobody else. A version that is being rolled out counts with its largest size.
    """
    known = {} if draft is None else {(policy.name, version): msgspec.json.encode(draft)}
    documents = BundleDocuments(tx, org, known)
    members = agents.list_targeted_agents(tx, org)
    largest = _largest(tx, org, documents)
    wanted, fit = desired_contents(largest, [], members, {}), _cached(documents)
    for vault in targeted_agents(policy, members):
        having = wanted[vault]
        if not fit({**having, policy.name: version}) and fit(having):
            raise ValidationError(
                "bundle_too_large",
                f"with it the policies of {vault} are {LIMIT_TEXT}: make them smaller",
            )


def agents_over_capacity(tx: Tx, org: str, vaults: Iterable[str]) -> frozenset[str]:
    """Those of these agents whose policies exceed a bundle: they keep the one they have."""
    some = list(vaults)
    if not some:
        return frozenset()
    documents = BundleDocuments(tx, org)
    largest = _largest(tx, org, documents)
    if documents.fits_bundle({policy.name: policy.stable for policy in largest if policy.stable}):
        return frozenset()  # all there is fits into one
    every, moving = policies.list_policies(tx, org), policies.open_rollouts(tx, org)
    having = {vault: held for vault, _, held in policies.list_outcomes(tx, org)}
    wanted = desired_contents(every, moving, agents.list_targeted_agents(tx, org), having)
    fit = _cached(documents)
    return frozenset(vault for vault in some if vault in wanted and not fit(wanted[vault]))


def _largest(tx: Tx, org: str, documents: BundleDocuments) -> list[Policy]:
    """Policies, each with the larger of its stable version and the one that is being rolled out.

    An open roll-out also counts for agents that have its policy by the targets before it.
    """
    found = {policy.name: policy for policy in policies.list_policies(tx, org)}
    for rollout in policies.open_rollouts(tx, org):
        policy = found[rollout.policy]
        size = documents.version_size(policy.name, policy.stable) if policy.stable else -1
        if documents.version_size(policy.name, rollout.version) > size:
            policy = replace(policy, stable=rollout.version)
        before = rollout.previous_targets or ()
        found[policy.name] = replace(policy, targets=policy.targets + before)
    return list(found.values())


def _cached(documents: BundleDocuments) -> FitsBundle:
    known: dict[tuple[tuple[str, int], ...], bool] = {}

    def fit(having: Mapping[str, int]) -> bool:
        key = tuple(sorted(having.items()))
        if key not in known:
            known[key] = documents.fits_bundle(having)
        return known[key]

    return fit
