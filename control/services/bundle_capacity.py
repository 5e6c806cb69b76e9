"""Whether the policies that agents should have fit into their bundles."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from control.errors import ValidationError
from control.model.policies import Policy
from control.services.desired_state import desired_contents, targeted_agents
from control.services.policy_bundles import BundleDocuments
from control.store import agents, policies
from control.store.rows import Tx
from protocols.link.limits import MAX_BUNDLE, MAX_RULES

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
