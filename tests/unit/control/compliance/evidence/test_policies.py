"""What can be shown about policies."""

from collections.abc import Awaitable, Callable

from actors.testing import FakeWorld
from control.core import Core
from control.model.compliance import Evidence, PolicyProof, Result, StateProof
from control.model.policies import Plan, Target
from control.model.policy_documents import Document, Rule
from tests.unit.control.fleet import enrolled

Shown = Callable[[], Awaitable[dict[str, Evidence]]]
WIDE = Rule(effect="allow", paths=("*",), capabilities=("*",))


async def test_wanted_is_not_in_force_until_applied(
    core: Core, world: FakeWorld, shown: Shown
) -> None:
    """With the bundle's hash; by whom it was written and rolled out; how wide it is."""
    for name in ("in-force", "changes", "breadth"):
        assert (await shown())[f"policies.{name}"].result is Result.NOT_EVIDENCED, name
    await enrolled(core, world, "one")
    await core.policies.policies.write_version("acme", "p", Document(rules=(WIDE,)), "", "acme/ann")
    await core.policies.policies.set_targets("acme", "p", (Target(all=True),))
    rollout = await core.policies.rollouts.start_rollout("acme", "p", 1, Plan(), "acme/ann")
    await core.policies.policies.refresh_bundles("acme")
    item = (await shown())["policies.in-force"]
    assert (item.result, item.exceptions) == (Result.GAP, ("one",))
    state, proof = item.proofs
    assert isinstance(state, StateProof)
    assert (state.subject, state.value) == ("one", "wanted")
    assert isinstance(proof, PolicyProof)
    standing = await core.policies.policies.get_assignment_state("acme", "one")
    assert standing is not None
    assert (proof.bundle, proof.version) == (standing.digest.hex(), standing.version)
    changes = (await shown())["policies.changes"]
    assert (changes.result, changes.exceptions) == (Result.GAP, ("p version 1, by acme/ann",))
    await core.policies.rollouts.halt_rollout("acme", rollout.id, "x")
