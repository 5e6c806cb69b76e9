"""vault.crypto.keyring."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.pretty import pretty_repr

from vault.crypto import aead, errors
from vault.crypto.errors import (
    ActiveGeneration,
    AuthenticationFailed,
    CryptoError,
    MalformedKeyring,
    RetiredGeneration,
    UnknownGeneration,
)
from vault.crypto.keyring import SUBKEYS, KekGeneration, Keyring

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "keyring.json").read_text())["cases"]

ROOT = bytes(range(32))
NOW = 1_700_000_000_000_000_000


def make() -> Keyring:
    """A new keyring of acme/prod."""
    return Keyring.create(NOW, org="acme", vault="prod")


def keys_of(keyring: Keyring) -> list[bytes]:
    """Every key in it."""
    keks = [g.kek.export_bytes() for g in keyring.generations if g.kek is not None]
    return keks + [getattr(keyring, name) for name in SUBKEYS]


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    """Each vector decodes to its parts, or fails exactly as it says."""
    root, blob = bytes.fromhex(case["root_key"]), bytes.fromhex(case["keyring"])
    if case["expect"] != "success":
        with pytest.raises(CryptoError) as caught:
            Keyring.decode(root, blob, org=case["org"], vault=case["vault"])
        assert type(caught.value) is getattr(errors, case["expect"])
        return
    keyring = Keyring.decode(root, blob, org=case["org"], vault=case["vault"])
    assert keyring.epoch == case["epoch"]
    assert [generation.state for generation in keyring.generations] == case["states"]
    assert b"".join(getattr(keyring, name) for name in SUBKEYS).hex() == case["subkeys"]
    uses = (keyring.break_glass_uses, keyring.break_glass_used_at)
    assert b"".join(each.to_bytes(8) for each in uses).hex() == case.get("uses", "00" * 16)


@pytest.mark.parametrize(
    "case", [c for c in VECTORS if c["expect"] == "success"], ids=lambda case: case["name"]
)
def test_vectors_encode_to_the_same_payload(
    case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the vector's nonce, the encoding is the vector: one encoding per keyring."""
    root, blob = bytes.fromhex(case["root_key"]), bytes.fromhex(case["keyring"])
    keyring = Keyring.decode(root, blob, org=case["org"], vault=case["vault"])
    monkeypatch.setattr(aead, "random_bytes", lambda _: blob[9:21])
    assert keyring.encode(root) == blob


def test_round_trip_and_fresh_nonces() -> None:
    """All keys come back; encoding twice gives two blobs."""
    keyring = make().rotate(NOW + 1).rotate(NOW + 2).retire(1)
    blob = keyring.encode(ROOT)
    again = Keyring.decode(ROOT, blob, org="acme", vault="prod")
    assert keys_of(again) == keys_of(keyring)
    assert [g.created_at for g in again.generations] == [NOW, NOW + 1, NOW + 2]
    assert (again.epoch, again.active) == (4, 3)
    assert keyring.encode(ROOT) != blob


def test_all_keys_are_fresh_and_distinct() -> None:
    """Two new keyrings share no key, and no key is used for two purposes."""
    keys = keys_of(make()) + keys_of(make())
    assert len(set(keys)) == len(keys) == 14
    assert {len(key) for key in keys} == {32}


def test_every_bit_counts() -> None:
    """A flip of any bit, and a cut at any length, is refused."""
    blob = make().encode(ROOT)
    for bit in range(len(blob) * 8):
        flipped = (int.from_bytes(blob) ^ (1 << bit)).to_bytes(len(blob))
        with pytest.raises((AuthenticationFailed, MalformedKeyring)):
            Keyring.decode(ROOT, flipped, org="acme", vault="prod")
    for length in range(len(blob)):
        with pytest.raises((AuthenticationFailed, MalformedKeyring)):
            Keyring.decode(ROOT, blob[:length], org="acme", vault="prod")


def test_rotation_keeps_what_was() -> None:
    """A new newest generation and epoch; old KEKs and every subkey unchanged; the old value too."""
    old = make()
    new = old.rotate(NOW + 5)
    assert (new.active, new.epoch) == (2, 2)
    assert new.generations[1].created_at == NOW + 5
    assert new.kek(1) is old.kek(1)
    assert new.kek(2).export_bytes() != old.kek(1).export_bytes()
    assert [getattr(new, name) for name in SUBKEYS] == [getattr(old, name) for name in SUBKEYS]
    assert (old.active, old.epoch) == (1, 1)


def test_an_epoch_is_only_raised() -> None:
    """The keys stay; an epoch that is not later is refused."""
    keyring = Keyring.create(1, org="o", vault="v")
    raised = keyring.at_epoch(9)
    assert raised.epoch == 9
    assert raised.row_mac == keyring.row_mac
    for epoch in (9, 8, 0):
        with pytest.raises(ValueError, match="only grows"):
            raised.at_epoch(epoch)


def test_retiring_drops_the_key_and_keeps_the_number() -> None:
    """The key is gone from the value and from its encoding; others keep their numbers."""
    keyring = make().rotate(NOW)
    gone = keyring.kek(1).export_bytes()
    retired = keyring.retire(1)
    assert [g.state for g in retired.generations] == ["retired", "active"]
    assert gone not in keys_of(retired)
    assert retired.kek(2) is keyring.kek(2)
    assert retired.rotate(NOW).active == 3
    assert retired.epoch == keyring.epoch + 1
    with pytest.raises(RetiredGeneration):
        retired.kek(1)
    with pytest.raises(RetiredGeneration):
        retired.retire(1)


def test_the_sealing_generation_is_never_retired() -> None:
    """`ActiveGeneration`: there would be nothing left to seal with."""
    with pytest.raises(ActiveGeneration):
        make().retire(1)


@pytest.mark.parametrize("generation", [0, -1, 2, 2**32])
def test_unknown_generations(generation: int) -> None:
    """Numbers the keyring never gave, also those Python would count from the end."""
    with pytest.raises(UnknownGeneration):
        make().kek(generation)
    with pytest.raises(UnknownGeneration):
        make().retire(generation)


def test_a_keyring_never_shows_its_keys() -> None:
    """Not in repr, str, format, rich's repr, nor those of its parts."""
    keyring = make().rotate(NOW)
    shown = f"{keyring} {keyring!r} {keyring.generations!r} {keyring.kek(1)!r}"
    shown += pretty_repr(keyring) + pretty_repr(keyring.generations)
    for key in keys_of(keyring):
        assert key.hex() not in shown
        assert repr(key)[2:-1] not in shown
    assert "epoch=2" in repr(keyring)


def test_a_keyring_does_not_leave_by_accident() -> None:
    """JSON, msgpack, pickle and deepcopy all refuse it."""
    keyring = make()
    for leak in (msgspec.json.encode, msgspec.msgpack.encode, pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(keyring)


@pytest.mark.parametrize(
    "change",
    [
        {"org": ""},
        {"vault": ""},
        {"epoch": 0},
        {"epoch": 2**64},
        {"generations": ()},
        {"generations": (KekGeneration(NOW, None),)},
        {"generations": (KekGeneration(NOW, None),) * 65_536},
        {"pepper": b"short"},
        {"backup": bytes(33)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_keyring_is_valid_from_birth(change: dict[str, Any]) -> None:
    """Parts that do not make a keyring are refused before they are one."""
    with pytest.raises(MalformedKeyring):
        replace(make(), **change)
