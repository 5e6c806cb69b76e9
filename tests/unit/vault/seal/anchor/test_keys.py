"""What anchoring asks of its keys is what the vault's keys give."""

from tests.unit.vault.seal.anchor.places import KEYS
from vault.seal.anchor.keys import AnchorKeys


def test_the_vaults_keys_are_anchor_keys() -> None:
    """By type, and by length of what they give."""
    keys: AnchorKeys = KEYS
    assert keys.vault == "vault-1"
    assert len(keys.mac(b"x")) == len(keys.row(b"x")) == 32
