"""`tests/vectors/pki.json`, made from docs/spec/pki.md by hand and not by this code."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control.ca.join_requests import join_fingerprint
from control.ca.store import JoinRecord
from protocols.pki.errors import PkiNameError
from protocols.pki.names import AgentName
from protocols.pki.pin import format_pin, parse_pin
from protocols.pki.proof import sign_binding, sign_rejoin, verify_possession


@pytest.fixture
def vectors(root: Path) -> Any:
    """The file."""
    return json.loads((root / "tests/vectors/pki.json").read_text())


def test_names_and_pins(vectors: Any) -> None:
    """Each as it says."""
    for case in vectors["names"]:
        if case["expect"] == "success":
            assert AgentName.from_uri(case["uri"]) == (case["org"], case["vault"])
            continue
        with pytest.raises(PkiNameError) as told:
            AgentName.from_uri(case["uri"])
        assert told.value.code == case["expect"]
    for case in vectors["pins"]:
        assert format_pin(bytes.fromhex(case["digest"])) == case["pin"]
        assert parse_pin(case["pin"]).hex() == case["digest"]


def test_proofs_and_fingerprints(vectors: Any) -> None:
    """Ed25519 is deterministic: the same bytes, signed by the same key, give the same proof."""
    for case in vectors["bind"]:
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["seed"]))
        assert sign_binding(key, bytes.fromhex(case["csr"])).hex() == case["proof"]
    for case in vectors["rejoin"]:
        key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(case["seed"]))
        name = AgentName.from_slugs(case["org"], case["vault"])
        made = sign_rejoin(key, name, case["serial"], bytes.fromhex(case["csr"]))
        assert made.hex() == case["proof"]
    for case in vectors["held"]:
        name = AgentName.from_slugs(case["org"], case["vault"])
        der, csr = bytes.fromhex(case["certificate"]), bytes.fromhex(case["csr"])
        verify_possession(der, name, case["serial"], csr, bytes.fromhex(case["proof"]))
    for case in vectors["fingerprints"]:
        keys = {name: bytes.fromhex(case[name]) for name in ("key", "link_key")}
        asked = dict.fromkeys(("id", "org", "label", "source", "client", "site"), "")
        join = JoinRecord(requested_at=0, expires_at=0, **asked, **keys)
        assert join_fingerprint(join) == case["fingerprint"]
