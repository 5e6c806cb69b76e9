"""Whether what agents should have fits into their bundles."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from control.errors import ValidationError
from control.model.policies import Policy
from control.services.bundles import Documents
from control.services.wanting import contents, targeted
from control.store import agents, policies
from control.store.rows import Tx
from protocols.link.limits import MAX_BUNDLE, MAX_RULES

HOLDS: Final = f"more than a bundle holds ({MAX_BUNDLE >> 10} KiB, {MAX_RULES} policies)"

Fit = Callable[[Mapping[str, int]], bool]


def need_room(tx: Tx, org: str, policy: Policy, version: int, draft: Any = None) -> None:
    """Raises `ValidationError` (`bundle_too_large`) for what some agent could not be sent.

    `draft`: the document of a version that is not stored yet.

    Only where this version is to blame: an agent that is too full without it (a tag or target made
    it so) keeps nobody else from it. What is on its way counts as it is largest.
    """
    known = {} if draft is None else {(policy.name, version): msgspec.json.encode(draft)}
    documents = Documents(tx, org, known)
    members = agents.members(tx, org)
    largest = _largest(tx, org, documents)
    wanted, fit = contents(largest, [], members, {}), _once(documents)
    for vault in targeted(policy, members):
        having = wanted[vault]
        if not fit({**having, policy.name: version}) and fit(having):
            raise ValidationError(
                "bundle_too_large",
                f"with it the policies of {vault} are {HOLDS}: make them smaller",
            )


def full_among(tx: Tx, org: str, vaults: Iterable[str]) -> frozenset[str]:
    """Of these agents, those that should have more than a bundle holds: they get no other one."""
    some = list(vaults)
    if not some:
        return frozenset()
    documents = Documents(tx, org)
    largest = _largest(tx, org, documents)
    if documents.fit({policy.name: policy.stable for policy in largest if policy.stable}):
        return frozenset()  # all there is fits into one
    every, moving = policies.policies_of(tx, org), policies.open_rollouts(tx, org)
    having = {vault: held for vault, _, held in policies.outcomes(tx, org)}
    wanted = contents(every, moving, agents.members(tx, org), having)
    fit = _once(documents)
    return frozenset(vault for vault in some if vault in wanted and not fit(wanted[vault]))


def _largest(tx: Tx, org: str, documents: Documents) -> list[Policy]:
    """The policies, each with the larger of what it is and of what is on its way as `stable`.

    An open roll-out counts for the agents that have its policy by the targets before it, too.
    """
    found = {policy.name: policy for policy in policies.policies_of(tx, org)}
    for rollout in policies.open_rollouts(tx, org):
        policy = found[rollout.policy]
        size = documents.size(policy.name, policy.stable) if policy.stable else -1
        if documents.size(policy.name, rollout.version) > size:
            policy = replace(policy, stable=rollout.version)
        before = rollout.previous_targets or ()
        found[policy.name] = replace(policy, targets=policy.targets + before)
    return list(found.values())


def _once(documents: Documents) -> Fit:
    known: dict[tuple[tuple[str, int], ...], bool] = {}

    def fit(having: Mapping[str, int]) -> bool:
        key = tuple(sorted(having.items()))
        if key not in known:
            known[key] = documents.fit(having)
        return known[key]

    return fit
