"""Checkpoints: the C2SP form, signed, and nothing else is accepted."""

import base64
from dataclasses import replace

import pytest

from vault.audit.checkpoint import (
    TreeHead,
    log_origin,
    parse_unverified_head,
    sign_checkpoint,
    verify_checkpoint,
)
from vault.audit.head_file import SECTOR, encode_slot
from vault.audit.testing import make_keys
from vault.crypto.digest import sha256

KEYS = make_keys()
HEAD = TreeHead(
    origin=log_origin("vault-1"),
    size=42,
    root=sha256(b"root"),
    head=sha256(b"head"),
    time="2027-01-15T08:00:00Z",
)
NOTE = sign_checkpoint(HEAD, KEYS)


def test_the_exact_text() -> None:
    """Origin, size, root, then our two extension lines: what a witness cosigns."""
    root = base64.b64encode(sha256(b"root")).decode()
    assert HEAD.text().decode() == (
        f"freehold.audit/vault-1\n42\n{root}\nhead {sha256(b'head').hex()}\n"
        "time 2027-01-15T08:00:00Z\n"
    )


def test_the_signature_line_is_that_of_a_signed_note() -> None:
    """Em dash, key name, base64 of key id and Ed25519 signature of the text (signed-note)."""
    text, line = NOTE.split("\n\n")
    dash, name, encoded = line.removesuffix("\n").split(" ")
    blob = base64.b64decode(encoded)
    key_id = sha256(b"freehold.audit/vault-1\n\x01" + KEYS.public)[:4]
    assert (dash, name) == ("\N{EM DASH}", HEAD.origin)
    assert blob[:4] == key_id
    assert KEYS.verify(KEYS.public, text.encode() + b"\n", blob[4:])


def test_a_signed_head_comes_back() -> None:
    """What was signed is read again, also with a witness's line behind ours."""
    assert verify_checkpoint(NOTE, KEYS, KEYS.public) == HEAD
    witness = "\N{EM DASH} witness.example/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiI\n"
    assert verify_checkpoint(NOTE + witness, KEYS, KEYS.public) == HEAD


def test_another_key_did_not_sign_it() -> None:
    """Only the log's own key counts."""
    with pytest.raises(ValueError, match="another key"):
        verify_checkpoint(NOTE, KEYS, make_keys(b"other").public)


@pytest.mark.parametrize("offset", range(0, len(NOTE) - 1, 3))
def test_no_character_can_be_changed(offset: int) -> None:
    """A note altered anywhere is refused."""
    letter = "A" if NOTE[offset] != "A" else "B"
    with pytest.raises(ValueError, match=r"checkpoint|signed"):
        verify_checkpoint(NOTE[:offset] + letter + NOTE[offset + 1 :], KEYS, KEYS.public)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        NOTE.split("\n\n", maxsplit=1)[0] + "\n",
        NOTE.replace("\n42\n", "\n042\n"),
        NOTE.replace("\n42\n", "\n-42\n"),
        NOTE.replace("time ", ""),
        NOTE.replace("head ", "head  "),
        NOTE.replace("\N{EM DASH}", "-"),
        "x\n" + NOTE,
    ],
)
def test_what_is_not_canonical_is_refused(note: str) -> None:
    """A second spelling of the same checkpoint is none."""
    with pytest.raises(ValueError, match=r"checkpoint|signed"):
        verify_checkpoint(note, KEYS, KEYS.public)


def test_a_short_root_is_refused() -> None:
    """Root and head have 32 bytes."""
    short = TreeHead(HEAD.origin, 42, b"short", HEAD.head, HEAD.time)
    with pytest.raises(ValueError, match="canonical"):
        TreeHead.parse(short.text())


def test_the_stores_count_is_a_line_of_its_own() -> None:
    """Signed with the rest; absent before the first commit, and then it may not be written as 0."""
    counted = replace(HEAD, store=7)
    assert counted.text() == HEAD.text() + b"store 7\n"
    assert verify_checkpoint(sign_checkpoint(counted, KEYS), KEYS, KEYS.public) == counted
    for wrong in (b"store 0\n", b"store 07\n", b"store 7\nstore 7\n", b"store x\n", b"\n"):
        with pytest.raises(ValueError, match="checkpoint"):
            TreeHead.parse(HEAD.text() + wrong)


def test_the_longest_head_fits_into_its_sector() -> None:
    """Of the longest vault id, with the largest numbers there can be."""
    origin = log_origin("v" * 64)
    longest = replace(HEAD, origin=origin, size=10**12, time="2027-01-15T08:00:00.123456789Z")
    assert len(encode_slot(sign_checkpoint(replace(longest, store=10**12), KEYS), 10**9)) == SECTOR


def test_a_head_is_read_from_a_note_that_something_else_vouches_for() -> None:
    """Whatever its signature."""
    assert parse_unverified_head(NOTE) == HEAD
    with pytest.raises(ValueError, match="checkpoint"):
        parse_unverified_head("nothing")
