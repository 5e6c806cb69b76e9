"""vault.crypto.credentials."""

import hmac
import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vault.crypto import credentials as module
from vault.crypto.credentials import (
    DUMMY_HASH,
    CredentialKind,
    LocatedCredential,
    adopt_token,
    hash_secret,
    locate_credential,
    matches_stored_hash,
    mint_accessor,
    mint_api_key,
    mint_session,
    mint_token,
    parse_credential,
)
from vault.crypto.errors import MalformedCredential
from vault.crypto.hmac import HmacKey

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "credentials.json").read_text())[
    "cases"
]

PEPPER = HmacKey(bytes(range(32)))
OTHER_PEPPER = HmacKey(bytes(reversed(range(32))))


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    """Each text parses or is malformed as it says; either way it is located as it says."""
    pepper = HmacKey(bytes.fromhex(case["pepper"]))
    expected = LocatedCredential(
        CredentialKind(case["kind"]), case["id"], bytes.fromhex(case["secret_hash"])
    )
    assert locate_credential(pepper, case["text"]) == expected
    if case["expect"] == "success":
        parsed = parse_credential(case["text"])
        assert (parsed.kind, parsed.id) == (expected.kind, expected.id)
        assert hash_secret(pepper, parsed.secret) == expected.secret_hash
    else:
        with pytest.raises(MalformedCredential):
            parse_credential(case["text"])


def test_a_minted_credential_is_found_and_matches() -> None:
    """By kind and id, and by nothing else; another pepper's hash does not match."""
    kinds = (
        (mint_api_key, CredentialKind.API_KEY),
        (mint_token, CredentialKind.TOKEN),
        (mint_session, CredentialKind.TOKEN),
    )
    for mint, kind in kinds:
        minted = mint(PEPPER)
        located = locate_credential(PEPPER, minted.text)
        assert (located.kind, located.id) == (kind, minted.id)
        assert matches_stored_hash(located, minted.secret_hash)
        assert not matches_stored_hash(
            locate_credential(OTHER_PEPPER, minted.text), minted.secret_hash
        )
        assert not matches_stored_hash(located, mint(PEPPER).secret_hash)


def test_the_forms_are_the_documented_ones() -> None:
    """Exact shapes, URL-safe; the accessor is in neither."""
    key, token = mint_api_key(PEPPER), mint_token(PEPPER)
    assert re.fullmatch(r"fh_[a-z2-7]{16}_[0-9A-Za-z]{43}_[0-9a-f]{8}", key.text)
    assert re.fullmatch(r"s\.[a-z2-7]{16}[0-9A-Za-z]{43}", token.text)
    body, crc = key.text.rsplit("_", 1)
    assert zlib.crc32(body.encode()) == int(crc, 16)
    assert re.fullmatch(r"[a-z2-7]{24}", mint_accessor())


def test_nothing_is_minted_twice() -> None:
    """Ids, texts, hashes and accessors of 1,000 mintings all differ."""
    minted = [mint_token(PEPPER) for _ in range(500)] + [mint_api_key(PEPPER) for _ in range(500)]
    for column in zip(*minted, strict=True):
        assert len(set(column)) == 1000
    assert len({mint_accessor() for _ in range(1000)}) == 1000


def test_a_session_is_two_independent_secrets() -> None:
    """Each of 256 bits; of two sessions, no part makes another with one of the other's."""
    one, other = mint_session(PEPPER), mint_session(PEPPER)
    assert re.fullmatch(r"[0-9A-Za-z]{43}:[0-9A-Za-z]{43}", one.text)
    (cookie, key), (second, foreign) = one.text.split(":"), other.text.split(":")
    assert len({cookie, key, second, foreign}) == 4
    for text in (cookie, key, f"{cookie}:", f":{key}", f"{cookie}:{foreign}", f"{key}:{cookie}"):
        found = locate_credential(PEPPER, text)
        assert found.id not in {one.id, other.id}
        assert not matches_stored_hash(found, one.secret_hash)


def test_every_changed_character_is_another_credential() -> None:
    """Change any one character of a key or token: it is malformed, or it does not match."""
    for minted in (mint_api_key(PEPPER), mint_token(PEPPER), mint_session(PEPPER)):
        for at, character in enumerate(minted.text):
            for other in ("a", "Z", "7", "_", "é"):
                if other == character:
                    continue
                text = minted.text[:at] + other + minted.text[at + 1 :]
                found = locate_credential(PEPPER, text)
                assert found.id != minted.id or not matches_stored_hash(found, minted.secret_hash)


def test_a_mistyped_key_is_told_from_a_wrong_one() -> None:
    """Every single changed character of an API key is malformed: the checksum sees it."""
    text = mint_api_key(PEPPER).text
    for at, character in enumerate(text):
        other = "b" if character != "b" else "c"
        with pytest.raises(MalformedCredential):
            parse_credential(text[:at] + other + text[at + 1 :])


def test_an_error_does_not_quote_the_text() -> None:
    """A mistyped key is nearly a key."""
    text = mint_api_key(PEPPER).text[:-1] + "g"
    with pytest.raises(MalformedCredential) as caught:
        parse_credential(text)
    assert text[20:60] not in str(caught.value)


@given(st.text(max_size=80))
@example("root")
@example("\ud800")
@example("")
@example("s." + "a" * 16 + "é" * 43)
def test_locate_is_total_and_deterministic(text: str) -> None:
    """Any text has a place to look, always the same, with an id of the usual form."""
    found = locate_credential(PEPPER, text)
    assert found == locate_credential(PEPPER, text)
    assert re.fullmatch(r"[a-z2-7]{16}", found.id)
    assert len(found.secret_hash) == 32


def test_a_chosen_token_is_found_and_matches() -> None:
    """`root` of a dev agent, and a text in the form of our own tokens."""
    for text in ("root", "s.my-dev-token", "hvs.CAESIJ", mint_token(PEPPER).text):
        minted = adopt_token(PEPPER, text)
        found = locate_credential(PEPPER, text)
        assert (found.kind, found.id) == (CredentialKind.TOKEN, minted.id)
        assert matches_stored_hash(found, minted.secret_hash)
        assert not matches_stored_hash(locate_credential(PEPPER, text + "x"), minted.secret_hash)


def test_the_id_of_a_chosen_token_shows_nothing() -> None:
    """It depends on the pepper, and is no part of the hash."""
    one, other = adopt_token(PEPPER, "root"), adopt_token(OTHER_PEPPER, "root")
    assert one.id != other.id
    assert module._name(one.secret_hash[:10]) != one.id


@pytest.mark.parametrize("text", ["", "abc", "x" * 513, "with space", "tab\t", "ünï", "nul\0nul"])
def test_texts_that_cannot_be_chosen(text: str) -> None:
    """Too short, too long, or not safe in a header."""
    with pytest.raises(MalformedCredential):
        adopt_token(PEPPER, text)


def test_an_api_key_cannot_be_chosen_as_a_token() -> None:
    """It would be looked up in another table."""
    with pytest.raises(MalformedCredential):
        adopt_token(PEPPER, mint_api_key(PEPPER).text)


def test_the_secret_hash_is_a_keyed_hash_of_its_own_domain() -> None:
    """A chosen token's id and the hash of the same bytes are unrelated; peppers matter."""
    assert hash_secret(PEPPER, b"x") != hash_secret(OTHER_PEPPER, b"x")
    assert hash_secret(PEPPER, b"x") != hash_secret(PEPPER, b"y")


def test_an_unknown_id_compares_with_a_dummy_and_never_matches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One comparison either way, and False even for the dummy's own hash."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    found = locate_credential(PEPPER, "root")
    assert not matches_stored_hash(found, None)
    assert matches_stored_hash(found, found.secret_hash)
    assert not matches_stored_hash(LocatedCredential(CredentialKind.TOKEN, "x", DUMMY_HASH), None)
    assert len(compared) == 3
    assert {(len(one), len(other)) for one, other in compared} == {(32, 32)}


def test_nothing_shows_a_secret_in_its_repr() -> None:
    """A minted credential, its parts and its hash name the id alone."""
    minted = mint_token(PEPPER)
    parsed, located = parse_credential(minted.text), locate_credential(PEPPER, minted.text)
    shown = f"{minted!r} {parsed!r} {located!r}"
    assert minted.id in shown
    assert minted.text not in shown
    assert parsed.secret.decode() not in shown
    assert repr(minted.secret_hash)[2:-1] not in shown
