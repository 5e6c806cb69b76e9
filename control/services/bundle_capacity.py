"""Whether what agents should have fits into their bundles."""

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
    """Raises `ValidationError` (`bundle_too_large`) for what some agent could not be sent.

    `draft`: the document of a version that is not stored yet.

    Only where this version is to blame: an agent that is too full without it (a tag or target made
    it so) keeps nobody else from it. What is on its way counts as it is largest.
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
    """Of these agents, those that should have more than a bundle holds: they get no other one."""
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
    """The policies, each with the larger of what it is and of what is on its way as `stable`.

    An open roll-out counts for the agents that have its policy by the targets before it, too.
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
