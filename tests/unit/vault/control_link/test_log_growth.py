"""The proof of growth: the same as the reference's for every pair of sizes."""

import pytest

from protocols.link.signing import sha256
from protocols.merkle import Frontier, leaf_hash, verify_consistency
from vault.control_link.audit_follower import MAX_MARKS, LogGrowth


def tree_of(size: int) -> Frontier:
    """A log of so many lines."""
    tree = Frontier(sha256)
    for number in range(size):
        tree.append(leaf_hash(sha256, b"%d" % number))
    return tree


@pytest.mark.parametrize("old", range(1, 40))
def test_a_proof_is_accepted_by_the_verifier(old: int) -> None:
    """Every growth up to 80 lines proves itself to RFC 9162's algorithm, and nothing else."""
    growth = LogGrowth(tree_of(old))
    for number in range(old, 80):
        growth.append_line(b"%d" % number)
        proof = growth.proof()
        root = tree_of(growth.size).root()
        assert verify_consistency(
            sha256, old=old, old_root=growth.base_root, new=growth.size, new_root=root, path=proof
        )
        assert not verify_consistency(
            sha256, old=old, old_root=b"x" * 32, new=growth.size, new_root=root, path=proof
        )


def test_an_empty_base_needs_no_proof() -> None:
    """The first checkpoint has nothing to prove."""
    growth = LogGrowth(tree_of(0))
    growth.append_line(b"0")
    assert growth.proof() == ()


@pytest.mark.parametrize("marked", range(1, 40))
def test_a_marked_size_becomes_the_base(marked: int) -> None:
    """Once a state that was told is cosigned, the proofs start there; another size is not known."""
    growth = LogGrowth(tree_of(3 if marked > 3 else 0))
    for number in range(growth.size, 70):
        if growth.size == marked:
            growth.mark_base()
        growth.append_line(b"%d" % number)
    assert not growth.rebase(marked + 1)
    assert growth.rebase(marked)
    assert (growth.base, growth.base_root) == (marked, tree_of(marked).root())
    assert verify_consistency(
        sha256,
        old=marked,
        old_root=growth.base_root,
        new=70,
        new_root=tree_of(70).root(),
        path=growth.proof(),
    )


def test_what_is_kept_does_not_grow_with_the_absence() -> None:
    """Thousands of marks later there are a few subtrees for each mark that still counts."""
    growth = LogGrowth(tree_of(3))
    for number in range(3, 3000):
        growth.append_line(b"%d" % number)
        growth.mark_base()
    kept = len(growth._nodes)  # what the promise is about
    assert kept <= MAX_MARKS * (3000).bit_length()
    assert growth.rebase(2999)
    assert growth.base_root == tree_of(2999).root()
