"""The chain: one line decides all heads behind it."""

from hypothesis import given
from hypothesis import strategies as st

from protocols.merkle import Frontier, leaf_hash
from vault.audit.chain import EMPTY_HEAD, Chain
from vault.crypto.digest import sha256

lines = st.lists(st.binary(max_size=20), max_size=30)


def _chain(data: list[bytes]) -> Chain:
    chain = Chain(sha256)
    for line in data:
        chain.extend(line)
    return chain


@given(lines)
def test_head_and_tree_are_those_of_the_specification(data: list[bytes]) -> None:
    """Head = SHA-256(head ‖ line) from 32 zero bytes; leaf n is line n."""
    head, tree = EMPTY_HEAD, Frontier(sha256)
    for line in data:
        head = sha256(head + line)
        tree.append(leaf_hash(sha256, line))
    chain = _chain(data)
    assert (chain.size, chain.head, chain.tree.root()) == (len(data), head, tree.root())


@given(lines, lines)
def test_different_lines_give_different_heads(a: list[bytes], b: list[bytes]) -> None:
    """Head and root are equal only for equal logs."""
    same = a == b
    assert (_chain(a).tree.root() == _chain(b).tree.root()) is same
    assert ((_chain(a).size, _chain(a).head) == (_chain(b).size, _chain(b).head)) is same


def test_a_copy_goes_its_own_way() -> None:
    """Extending a copy leaves the original as it was."""
    chain = _chain([b"a"])
    before = (chain.size, chain.head, chain.tree.root())
    chain.copy().extend(b"b")
    assert (chain.size, chain.head, chain.tree.root()) == before
