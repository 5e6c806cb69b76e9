"""What can be shown about policies."""

from collections.abc import Awaitable, Callable

from actors.testing import FakeWorld
from control.api.plane import Plane
from control.model.compliance import Evidence, PolicyProof, Result, StateProof
from control.model.documents import Document, Rule
from control.model.policies import Plan, Target
from tests.unit.control.fleet import enrolled

Shown = Callable[[], Awaitable[dict[str, Evidence]]]
WIDE = Rule(effect="allow", paths=("*",), capabilities=("*",))


async def test_wanted_is_not_in_force_until_applied(
    plane: Plane, world: FakeWorld, shown: Shown
) -> None:
    """With the bundle's hash; by whom it was written and rolled out; how wide it is."""
    for name in ("in-force", "changes", "breadth"):
        assert (await shown())[f"policies.{name}"].result is Result.NOT_EVIDENCED, name
    await enrolled(plane, world, "one")
    await plane.policies.write("acme", "p", Document(rules=(WIDE,)), "", "acme/ann")
    await plane.policies.point("acme", "p", (Target(all=True),))
    rollout = await plane.rollouts.start("acme", "p", 1, Plan(), "acme/ann")
    await plane.policies.refresh("acme")
    item = (await shown())["policies.in-force"]
    assert (item.result, item.exceptions) == (Result.GAP, ("one",))
    state, proof = item.proofs
    assert isinstance(state, StateProof)
    assert (state.subject, state.value) == ("one", "wanted")
    assert isinstance(proof, PolicyProof)
    standing = await plane.policies.standing("acme", "one")
    assert standing is not None
    assert (proof.bundle, proof.version) == (standing.digest.hex(), standing.version)
    changes = (await shown())["policies.changes"]
    assert (changes.result, changes.exceptions) == (Result.GAP, ("p version 1, by acme/ann",))
    await plane.rollouts.halt("acme", rollout.id, "x")
