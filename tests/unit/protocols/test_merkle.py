"""The Merkle tree against RFC 9162: known vectors, and the RFC's definitions written out."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.merkle import (
    Frontier,
    ProofBuilder,
    consistency_ranges,
    inclusion_ranges,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from vault.crypto.digest import sha256

# The leaves and roots that Certificate Transparency implementations (RFC 6962) test with.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZE = 70  # passes a power of two, and reaches every shape of a tree of up to seven levels


# The definitions of RFC 9162, section 2.1, word for word.


def mth(data: Sequence[bytes]) -> bytes:
    """2.1.1."""
    if not data:
        return sha256(b"")
    if len(data) == 1:
        return sha256(b"\x00" + data[0])
    k = _k(len(data))
    return sha256(b"\x01" + mth(data[:k]) + mth(data[k:]))


def path(m: int, data: Sequence[bytes]) -> list[bytes]:
    """2.1.3.1."""
    if len(data) == 1:
        return []
    k = _k(len(data))
    if m < k:
        return [*path(m, data[:k]), mth(data[k:])]
    return [*path(m - k, data[k:]), mth(data[:k])]


def subproof(m: int, data: Sequence[bytes], *, b: bool) -> list[bytes]:
    """2.1.4.1."""
    n = len(data)
    if m == n:
        return [] if b else [mth(data)]
    k = _k(n)
    if m <= k:
        return [*subproof(m, data[:k], b=b), mth(data[k:])]
    return [*subproof(m - k, data[k:], b=False), mth(data[:k])]


def _k(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def _data(size: int) -> list[bytes]:
    return [b"record %d" % number for number in range(size)]


def _tree(data: Sequence[bytes]) -> Frontier:
    tree = Frontier(sha256)
    for item in data:
        tree.append(leaf_hash(sha256, item))
    return tree


def _collect(ranges: list[tuple[int, int]], data: Sequence[bytes], begin: int) -> list[bytes]:
    collector = ProofBuilder(sha256, ranges, _tree(data[:begin]))
    for item in data[begin:]:
        collector.add_leaf(leaf_hash(sha256, item))
    return collector.proof_hashes()


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_the_known_roots(size: int) -> None:
    """Trees of 0 to 8 leaves have the roots that everybody else computes."""
    assert _tree(LEAVES[:size]).root().hex() == ROOTS[size]


def test_every_root_is_that_of_the_definition() -> None:
    """Growing leaf by leaf gives the root of the definition at every size."""
    tree = Frontier(sha256)
    for size, item in enumerate(_data(SIZE)):
        assert tree.root() == mth(_data(size))
        tree.append(leaf_hash(sha256, item))
        assert tree.size == size + 1


def test_a_frontier_goes_on_where_it_was() -> None:
    """A tree rebuilt from size and hashes grows as the original; a copy is independent."""
    for size in range(SIZE):
        old = _tree(_data(size))
        new = Frontier(sha256, old.size, old.hashes)
        copy = old.copy()
        new.append(leaf_hash(sha256, b"next"))
        assert new.root() == mth([*_data(size), b"next"])
        assert old.root() == copy.root() == mth(_data(size))


def test_a_frontier_has_as_many_hashes_as_its_size_says() -> None:
    """A frontier that cannot be one is refused."""
    with pytest.raises(ValueError, match="power of two"):
        Frontier(sha256, 3, [bytes(32)])


def test_every_inclusion_proof_is_that_of_the_definition() -> None:
    """For every leaf of every size: the definition's path, and it verifies."""
    for size in range(1, SIZE):
        data = _data(size)
        for index in range(size):
            proof = _collect(inclusion_ranges(index, size), data, 0)
            assert proof == path(index, data)
            assert _included(index, size, data[index], mth(data), proof)


def _included(index: int, size: int, item: bytes, root: bytes, proof: Sequence[bytes]) -> bool:
    leaf = leaf_hash(sha256, item)
    return verify_inclusion(sha256, index=index, size=size, leaf=leaf, root=root, path=proof)


def _consistent(old: int, new: int, proof: Sequence[bytes], **roots: bytes) -> bool:
    data = _data(new)
    known = {"old_root": mth(data[:old]), "new_root": mth(data)} | roots
    return verify_consistency(sha256, old=old, new=new, path=proof, **known)


def test_every_consistency_proof_is_that_of_the_definition() -> None:
    """For every two sizes: the definition's proof, and it verifies."""
    for new in range(1, SIZE):
        data = _data(new)
        for old in range(1, new + 1):
            proof = _collect(consistency_ranges(old, new), data, 0)
            assert proof == subproof(old, data, b=True)
            assert _consistent(old, new, proof)


def test_a_proof_does_not_need_the_leaves_before_it() -> None:
    """With a frontier in place of the first records, the proofs of later ones are the same."""
    size = 37
    data = _data(size)
    for begin in range(size):
        for index in range(begin, size):
            assert _collect(inclusion_ranges(index, size), data, begin) == path(index, data)


def test_a_proof_out_of_a_log_that_lacks_its_records_is_refused() -> None:
    """Nothing is made up for ranges that were not fed."""
    with pytest.raises(ValueError, match="does not hold"):
        _collect(inclusion_ranges(1, 8), _data(8), 3)
    with pytest.raises(ValueError, match="does not hold"):
        _collect(inclusion_ranges(1, 8), _data(6), 0)


@given(st.integers(1, SIZE), st.data())
def test_an_altered_inclusion_proof_fails(size: int, draw: st.DataObject) -> None:
    """Another leaf, place, size, root, or a path that is longer, shorter or altered: refused."""
    data = _data(size)
    index = draw.draw(st.integers(0, size - 1))
    proof, root = path(index, data), mth(data)
    assert not _included(index, size, b"forged", root, proof)
    assert not _included(index, size, data[index], bytes(32), proof)
    assert not _included(size, size, data[index], root, proof)
    assert not _included(-1, size, data[index], root, proof)
    assert not _included(index, size, data[index], root, [*proof, bytes(32)])
    for step in range(len(proof)):
        altered = [*proof[:step], bytes(32), *proof[step + 1 :]]
        assert not _included(index, size, data[index], root, altered)
        assert not _included(index, size, data[index], root, proof[:step] + proof[step + 1 :])


@given(st.integers(2, SIZE), st.data())
def test_an_altered_consistency_proof_fails(new: int, draw: st.DataObject) -> None:
    """Another root on either side, or another path: refused."""
    data = _data(new)
    old = draw.draw(st.integers(1, new - 1))
    proof = subproof(old, data, b=True)
    assert not _consistent(old, new, proof, old_root=bytes(32))
    assert not _consistent(old, new, proof, new_root=bytes(32))
    assert not _consistent(old, new, [*proof, bytes(32)])
    for step in range(len(proof)):
        assert not _consistent(old, new, proof[:step] + proof[step + 1 :])


def test_consistency_at_its_edges() -> None:
    """A tree is consistent with itself by an empty proof, and nothing is with an empty tree."""
    assert _consistent(5, 5, [])
    assert not _consistent(5, 5, [bytes(32)])
    assert not _consistent(5, 5, [], old_root=bytes(32))
    assert not _consistent(0, 5, [])
    assert not _consistent(6, 5, [])
    assert not _consistent(3, 5, [])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 4), (4, 4)])
def test_there_is_no_proof_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    """Outside of the tree there is nothing to prove."""
    with pytest.raises(ValueError, match="not in a tree"):
        inclusion_ranges(index, size)


@pytest.mark.parametrize(("old", "new"), [(0, 4), (5, 4), (-1, 4)])
def test_there_is_no_consistency_with_a_larger_or_empty_tree(old: int, new: int) -> None:
    """Only growth can be proven."""
    with pytest.raises(ValueError, match="no consistency proof"):
        consistency_ranges(old, new)


def test_leaves_and_nodes_are_told_apart() -> None:
    """The data of a leaf that looks like a node's children hashes differently."""
    left, right = sha256(b"a"), sha256(b"b")
    assert leaf_hash(sha256, left + right) != node_hash(sha256, left, right)
