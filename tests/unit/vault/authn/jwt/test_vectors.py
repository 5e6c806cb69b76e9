"""Wycheproof's vectors of signatures and key sets: what is invalid there is refused here."""

import json
from pathlib import Path
from typing import Any

import pytest

from vault.authn.jwt.compact import InvalidTokenError, parse_token
from vault.authn.jwt.keys import (
    KeySet,
    UnusableKeyError,
    key_from_jwk,
    keys_from_jwks,
    verify_signature,
)

VECTORS = json.loads((Path(__file__).parents[4] / "vectors" / "jose.json").read_text())
STRICTER = {
    "emptyPayload",  # a JWT is an object
    "Figure20",  # its key is for PS256, and it is signed with PS384
    "Figure27",  # its key names ES521, which is no algorithm
}


def is_accepted(keys: KeySet, text: str) -> bool:
    """Whether the token is signed by a key of the set."""
    try:
        token = parse_token(text)
        verify_signature(token, keys.select(token))
    except InvalidTokenError:
        return False
    return True


def key_set(jwk: Any) -> KeySet:
    """Of one key; empty where that is not for verifying."""
    try:
        return KeySet((key_from_jwk(jwk),))
    except UnusableKeyError:
        return KeySet(())


@pytest.mark.parametrize("name", VECTORS["keys"])
def test_signatures(name: str) -> None:
    """Each token of a key is accepted exactly where it is valid."""
    keys, wrong = key_set(VECTORS["keys"][name]), []
    cases = [case for case in VECTORS["signatures"] if case[1] == name]
    for number, _, comment, result, _, text in cases:
        expected = result == "valid" and comment not in STRICTER
        if is_accepted(keys, text) is not expected:
            wrong.append((number, comment))
    assert cases
    assert wrong == []


def test_key_sets() -> None:
    """Sets with keys of another use, type, curve or algorithm, weak ones, and the same id twice."""
    wrong = []
    for number, group, comment, result, _, keys, text in VECTORS["key_sets"]:
        try:
            accepted = is_accepted(keys_from_jwks(json.dumps(keys)), text)
        except UnusableKeyError:
            accepted = False
        symmetric = "long_key" in comment or text.startswith("eyJhbGciOiJIUzI1NiIs")
        if accepted is not (result == "valid" and not symmetric):
            wrong.append((number, group, comment))
    assert wrong == []
