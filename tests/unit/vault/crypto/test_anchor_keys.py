"""The keys of marks and anchors: one for each use, vault and epoch."""

import copy

import pytest

from vault.crypto.anchor_keys import DerivedAnchorKeys
from vault.crypto.hmac import hmac_sha256
from vault.crypto.keyring import Keyring

RING = Keyring.create(1, org="o", vault="v")


def test_each_use_has_a_key_of_its_own() -> None:
    """No output of one is an output of another, or of the row key itself."""
    keys = DerivedAnchorKeys(RING)
    assert len({keys.mac(b"x"), keys.row(b"x"), hmac_sha256(RING.row_mac, b"x")}) == 3
    assert keys.mac(b"x") == DerivedAnchorKeys(RING).mac(b"x")
    assert keys.vault == "v"


@pytest.mark.parametrize(("org", "vault"), [("o", "w"), ("p", "v"), ("ov", "")])
def test_each_vault_has_keys_of_its_own(org: str, vault: str) -> None:
    """Though the row key be the same."""
    other = Keyring(
        org=org, vault=vault or "x", epoch=1, generations=RING.generations,
        **{name: getattr(RING, name) for name in (
            "pepper", "row_mac", "audit_mac", "audit_seed", "cursor", "backup")},
    )  # fmt: skip
    assert DerivedAnchorKeys(other).mac(b"x") != DerivedAnchorKeys(RING).mac(b"x")


def test_totals_open_in_their_epoch_only() -> None:
    """Sealed twice they read differently; altered or of another epoch they do not open."""
    keys = DerivedAnchorKeys(RING)
    box = keys.seal(3, b"totals")
    assert box != keys.seal(3, b"totals")
    assert keys.open_(3, box) == b"totals"
    for epoch, wrong in ((4, box), (3, box[:-1] + bytes([box[-1] ^ 1])), (3, b"")):
        with pytest.raises(ValueError, match="do not open"):
            keys.open_(epoch, wrong)


def test_they_are_not_copied() -> None:
    """A key leaves its object in no way."""
    with pytest.raises(TypeError):
        copy.copy(DerivedAnchorKeys(RING))
