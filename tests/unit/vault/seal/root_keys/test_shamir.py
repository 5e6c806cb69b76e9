"""vault.seal.root_keys.shamir."""

import pytest

from vault.crypto.errors import AuthenticationFailed, MalformedShare, UnsealRefused
from vault.crypto.keyring import Keyring
from vault.crypto.shamir import split
from vault.seal.root_keys.shamir import ShamirRootKey, UnsealProgress
from vault.seal.root_keys.shares import SealConfig

CONFIG = SealConfig(shares=5, threshold=3)
KEYRING = Keyring.create(1, org="acme", vault="prod")


class Vault:
    """A vault that was initialised: its provider, its shares, its sealed keyring."""

    def __init__(self, config: SealConfig = CONFIG) -> None:
        self.provider = ShamirRootKey(config)
        new = self.provider.create()
        self.shares = new.shares
        self.blob = KEYRING.encode(new.root_key)
        self.times_opened = 0

    def open(self, root_key: bytes) -> Keyring:
        """What the owner does with a candidate."""
        self.times_opened += 1
        return Keyring.decode(root_key, self.blob, org="acme", vault="prod")

    def offer(self, share: bytes) -> Keyring | UnsealProgress:
        """One share."""
        return self.provider.submit_share(share, self.open)


def test_k_shares_open_the_keyring_and_nothing_is_kept() -> None:
    """Progress twice with one nonce, then the keyring; afterwards the provider holds no share."""
    vault = Vault()
    assert len(vault.shares) == 5
    first = vault.offer(vault.shares[4])
    second = vault.offer(vault.shares[0])
    assert isinstance(first, UnsealProgress)
    assert isinstance(second, UnsealProgress)
    assert (first.progress, second.progress) == (1, 2)
    assert first.nonce == second.nonce != ""
    assert vault.times_opened == 0
    keyring = vault.offer(vault.shares[2])
    assert isinstance(keyring, Keyring)
    assert keyring.pepper == KEYRING.pepper
    assert vault.provider.progress() == UnsealProgress(5, 3, 0, "")


def test_a_wrong_share_is_noticed_by_the_keyring_and_starts_again() -> None:
    """A share of another vault: refused at the threshold; then the right ones still open it."""
    vault = Vault()
    foreign = split(bytes(32), 5, 3)[2]
    vault.offer(vault.shares[0])
    vault.offer(vault.shares[1])
    with pytest.raises(UnsealRefused) as caught:
        vault.offer(foreign)
    assert isinstance(caught.value.__cause__, AuthenticationFailed)
    assert vault.provider.progress().progress == 0
    assert [type(vault.offer(share)) for share in vault.shares[:3]] == [
        UnsealProgress,
        UnsealProgress,
        Keyring,
    ]


def test_a_malformed_or_repeated_share_keeps_progress() -> None:
    """Neither counts, and neither starts again."""
    vault = Vault()
    vault.offer(vault.shares[0])
    again = vault.offer(vault.shares[0])
    assert isinstance(again, UnsealProgress)
    assert again.progress == 1
    with pytest.raises(MalformedShare):
        vault.offer(b"short")
    assert vault.provider.progress() == again


def test_a_malformed_first_share_begins_nothing() -> None:
    """No attempt and no nonce come of it."""
    vault = Vault()
    with pytest.raises(MalformedShare):
        vault.offer(b"short")
    assert vault.provider.progress() == UnsealProgress(5, 3, 0, "")


def test_reset_forgets_the_shares_and_the_nonce() -> None:
    """The next attempt is another one."""
    vault = Vault()
    first = vault.offer(vault.shares[0])
    vault.provider.reset()
    assert vault.provider.progress() == UnsealProgress(5, 3, 0, "")
    second = vault.offer(vault.shares[0])
    assert isinstance(first, UnsealProgress)
    assert isinstance(second, UnsealProgress)
    assert first.nonce != second.nonce
    assert second.progress == 1


def test_another_failure_passes_and_still_forgets() -> None:
    """An error that is not about the shares reaches the caller as it is."""
    vault = Vault()
    vault.blob = b""
    for share in vault.shares[:2]:
        vault.offer(share)
    with pytest.raises(Exception, match="cut short"):
        vault.offer(vault.shares[2])
    assert vault.provider.progress().progress == 0


def test_one_of_one_opens_at_once() -> None:
    """A single share needs no progress."""
    vault = Vault(SealConfig(1, 1))
    assert isinstance(vault.offer(vault.shares[0]), Keyring)


def test_a_wrong_single_share_is_refused() -> None:
    """32 other bytes do not open the keyring."""
    vault = Vault(SealConfig(1, 1))
    with pytest.raises(UnsealRefused):
        vault.offer(bytes(32))


def test_it_never_unseals_alone() -> None:
    """`load` has nothing to give, before and after."""
    vault = Vault()
    assert vault.provider.load() is None
