"""vault.seal.root_keys."""

from pathlib import Path

import pytest
from rich.pretty import pretty_repr

from vault.seal.root_keys import NewRootKey
from vault.seal.root_keys.file import FileRootKey
from vault.seal.root_keys.shamir import ShamirRootKey
from vault.seal.root_keys.shares import SealConfig


@pytest.mark.parametrize("kind", ["file", "shamir"])
def test_every_provider_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    """`create` gives 32 fresh bytes; then it loads that key alone, or hands out shares."""
    made: dict[str, FileRootKey | ShamirRootKey] = {
        "file": FileRootKey(tmp_path / "key"),
        "shamir": ShamirRootKey(SealConfig(5, 3)),
    }
    provider = made[kind]
    root = provider.create()
    assert provider.kind == kind
    assert len(root.root_key) == 32
    assert (provider.load() == root.root_key) is not bool(root.shares)


def test_a_new_root_never_shows_itself() -> None:
    """Neither repr nor rich's repr has the key or a share."""
    root = NewRootKey(b"K" * 32, (b"S" * 33,))
    shown = repr(root) + pretty_repr(root)
    assert "KKK" not in shown
    assert "SSS" not in shown
