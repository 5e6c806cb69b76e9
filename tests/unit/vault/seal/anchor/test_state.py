"""The form of mark and anchor: readable, and nobody's but ours."""

import msgspec
import pytest

from tests.unit.vault.seal.anchor.places import KEYS
from vault.audit.checkpoint import TreeHead, sign_checkpoint
from vault.audit.testing import make_keys
from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.keyring import Keyring
from vault.seal.anchor.state import (
    Anchor,
    CommitStamp,
    decode_state,
    decode_unverified,
    encode_state,
)

HEAD = TreeHead("freehold.audit/vault-1", 7, b"\x01" * 32, b"\x02" * 32, "2026-01-01T00:00:00Z", 5)
ANCHOR = Anchor(vault="vault-1", epoch=2, commits=9, checkpoint=sign_checkpoint(HEAD, make_keys()))
MARK = CommitStamp(
    vault="vault-1", epoch=2, commits=9, checkpoint="", anchored=True, rows=b"\0\xff"
)


@pytest.mark.parametrize("state", [ANCHOR, MARK])
def test_what_was_written_is_read(state: Anchor) -> None:
    """All of it."""
    assert decode_state(encode_state(state, KEYS), type(state), KEYS) == state


def test_the_head_is_that_of_the_note() -> None:
    """With the count of commits; none without a note."""
    assert ANCHOR.head == HEAD
    assert MARK.head is None


def test_every_flipped_bit_is_noticed() -> None:
    """As are a byte less and a byte more."""
    data = encode_state(ANCHOR, KEYS)
    for place in range(len(data)):
        with pytest.raises(ValueError, match="damaged"):
            decode_state(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], Anchor, KEYS)
    for wrong in (data[:-1], data + b"\n", b"", b"\n"):
        with pytest.raises(ValueError, match="damaged"):
            decode_state(wrong, Anchor, KEYS)


def test_a_mark_is_no_anchor_and_a_vaults_no_other_vaults() -> None:
    """Each is signed for its place."""
    with pytest.raises(ValueError, match="damaged"):
        decode_state(encode_state(MARK, KEYS), Anchor, KEYS)
    other = DerivedAnchorKeys(Keyring.create(1, org="o", vault="vault-1"))
    with pytest.raises(ValueError, match="another vault"):
        decode_state(encode_state(ANCHOR, other), Anchor, KEYS)


def test_a_later_format_is_not_guessed_at() -> None:
    """It is refused by its number."""
    with pytest.raises(ValueError, match="format 9"):
        decode_state(encode_state(msgspec.structs.replace(ANCHOR, format=9), KEYS), Anchor, KEYS)


def test_it_is_readable_without_keys() -> None:
    """For people and for `audit verify`; what is no anchor is told."""
    assert decode_unverified(encode_state(ANCHOR, KEYS), Anchor) == ANCHOR
    for wrong in (b"", b"{}\n" + b"0" * 64, b"\xff\n" + b"0" * 64, encode_state(MARK, KEYS)):
        with pytest.raises(ValueError, match="not an anchor"):
            decode_unverified(wrong, Anchor)
