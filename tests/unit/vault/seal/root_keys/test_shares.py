"""vault.seal.root_keys.shares."""

import itertools

import pytest
from rich.pretty import pretty_repr

from vault.crypto.errors import MalformedShare, UnsealRefused
from vault.seal.root_keys.shares import SealConfig, ShareCollection, split_root_key

ROOT = bytes(range(32))
CONFIG = SealConfig(shares=5, threshold=3)
SHARES = split_root_key(ROOT, CONFIG)


def offered(*shares: bytes, config: SealConfig = CONFIG) -> ShareCollection:
    """An attempt after these shares."""
    attempt = ShareCollection.begin(config)
    for share in shares:
        attempt = attempt.add_share(share)
    return attempt


def test_any_threshold_of_shares_completes() -> None:
    """Each 3 of 5, in order of arrival, give the root key and not before."""
    for chosen in itertools.permutations(SHARES, 3):
        attempt = offered(*chosen)
        assert attempt.is_complete
        assert attempt.combine() == ROOT
    partial = offered(*SHARES[:2])
    assert (partial.is_complete, partial.progress) == (False, 2)
    with pytest.raises(UnsealRefused):
        partial.combine()


def test_the_same_share_counts_once() -> None:
    """Offered again it changes nothing and is no error, wherever it stands."""
    attempt = offered(SHARES[0], SHARES[1])
    assert attempt.add_share(SHARES[0]) is attempt
    assert attempt.add_share(SHARES[1]) is attempt


def test_states_are_values() -> None:
    """An offer gives a new state of the same attempt; the old one is as it was."""
    before = offered(SHARES[0])
    after = before.add_share(SHARES[1])
    assert (before.progress, after.progress) == (1, 2)
    assert before.nonce == after.nonce


def test_attempts_are_told_apart() -> None:
    """Each has its own 128-bit nonce."""
    nonces = {ShareCollection.begin(CONFIG).nonce for _ in range(100)}
    assert len(nonces) == 100
    assert {len(nonce) for nonce in nonces} == {32}


@pytest.mark.parametrize(
    "share",
    [b"", bytes(32), bytes(34), SHARES[1][:-1] + b"\0", bytes(32) + SHARES[0][-1:]],
    ids=["empty", "short", "long", "coordinate 0", "coordinate taken"],
)
def test_a_malformed_share_leaves_the_attempt_good(share: bytes) -> None:
    """It is refused at once, by name, and the right shares still complete."""
    attempt = offered(SHARES[0])
    with pytest.raises(MalformedShare):
        attempt.add_share(share)
    assert attempt.add_share(SHARES[1]).add_share(SHARES[2]).combine() == ROOT


def test_a_complete_attempt_takes_no_more() -> None:
    """So no more than the threshold of shares is ever held."""
    with pytest.raises(UnsealRefused):
        offered(*SHARES[:3]).add_share(SHARES[3])


def test_one_of_one_is_the_root_key_itself() -> None:
    """As in Vault: a single share has no coordinate."""
    config = SealConfig(1, 1)
    assert split_root_key(ROOT, config) == (ROOT,)
    assert config.share_size == 32
    assert offered(ROOT, config=config).combine() == ROOT
    zero_ended = bytes(32)
    assert offered(zero_ended, config=config).combine() == zero_ended


@pytest.mark.parametrize(
    ("shares", "threshold"), [(0, 0), (1, 0), (1, 2), (2, 1), (5, 1), (3, 4), (256, 3), (2, -1)]
)
def test_impossible_seals_are_refused(shares: int, threshold: int) -> None:
    """1 of 1, or 2 <= threshold <= shares <= 255."""
    with pytest.raises(ValueError, match="seal needs"):
        SealConfig(shares, threshold)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_only_root_keys_are_dealt(size: int) -> None:
    """32 bytes, also for 1 of 1."""
    for config in (CONFIG, SealConfig(1, 1)):
        with pytest.raises(ValueError, match="32 bytes"):
            split_root_key(bytes(size), config)


def test_an_attempt_never_shows_its_shares() -> None:
    """Neither repr nor rich's repr."""
    attempt = offered(*SHARES[:2])
    shown = repr(attempt) + pretty_repr(attempt)
    assert attempt.nonce in shown
    for share in SHARES[:2]:
        assert share.hex() not in shown
        assert repr(share)[2:-1] not in shown
