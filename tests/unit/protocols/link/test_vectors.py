"""tests/vectors/link.json, both ways: what it holds is read as it says, and written again."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from protocols.link import codec
from protocols.link.bundle import AcceptedVersion, BundleError, open_bundle
from protocols.link.errors import RemoteFaultError
from protocols.link.handshake import ChannelBinding, derive_session_id
from protocols.link.messages import Direction, MessageType
from protocols.link.session import open_frame, seal_frame
from protocols.link.signing import Verifier
from tests.unit.protocols.link.duet import AGENT_KEY, CONTROL_KEY

ROOT = Path(__file__).parents[4]
TOOL = ROOT / "tools" / "make_vectors_link.py"
VECTORS = json.loads((ROOT / "tests" / "vectors" / "link.json").read_text())
FRAMES, BUNDLES = VECTORS["frames"], VECTORS["bundles"]
Case = dict[str, Any]


def outcome(case: Case) -> Any:
    """The opened frame, or the word of its refusal."""
    frame = bytes.fromhex(case["frame"]) if "frame" in case else bytes(case["zeros"])
    way = Direction(bytes([case["direction"]]))
    key = "agent" if way is Direction.TO_CONTROL else "control"
    verifier = Verifier([bytes.fromhex(VECTORS["public_keys"][key])])
    try:
        return open_frame(frame, way, verifier, case.get("version", 1))
    except RemoteFaultError as error:
        return error.fault


@pytest.mark.parametrize("case", FRAMES, ids=lambda case: case["name"])
def test_a_frame_is_read_as_the_vector_says(case: Case):
    """It opens and seals back to its very bytes, or is refused by the named fault."""
    opened = outcome(case)
    if case["expect"] != "success":
        assert opened == case["expect"]
        return
    assert codec.encode_payload(opened.message).hex() == case["payload"]
    way = Direction(bytes([case["direction"]]))
    key = AGENT_KEY if way is Direction.TO_CONTROL else CONTROL_KEY
    assert seal_frame(opened.envelope, way, key).hex() == case["frame"]


def test_every_type_has_a_vector():
    """A second implementation can check each message."""
    opened = [outcome(case) for case in FRAMES if case["expect"] == "success"]
    assert {o.envelope.message_type for o in opened} == set(MessageType)


def test_the_session_id_is_the_vectors():
    """Out of version, certificates, nonces and names."""
    given = VECTORS["session"]
    channel = ChannelBinding(
        org=given["org"],
        vault=given["vault"],
        agent_certificate=bytes.fromhex(given["agent_certificate"]),
        control_certificate=bytes.fromhex(given["control_certificate"]),
    )
    nonces = (bytes.fromhex(given["agent_nonce"]), bytes.fromhex(given["control_nonce"]))
    assert derive_session_id(channel, *nonces, 1).hex() == given["id"]
    assert derive_session_id(channel, *nonces, 2).hex() == given["id_of_version_2"]


@pytest.mark.parametrize("case", BUNDLES, ids=lambda case: case["name"])
def test_a_bundle_is_judged_as_the_vector_says(case: Case):
    """Accepted with this hash, or refused for this reason."""
    stored = AcceptedVersion(case["stored_version"], bytes.fromhex(case["stored_hash"]))
    keys = [bytes.fromhex(VECTORS["public_keys"]["policy"])]
    try:
        accepted = open_bundle(
            bytes.fromhex(case["bundle"]),
            keys,
            org="acme",
            vault="prod",
            stored=stored,
            now_ms=case["now"],
        )
    except BundleError as error:
        result = str(error.reason)
    else:
        result = "success"
        assert accepted.hash.hex() == case["hash"]
    assert result == case["expect"]


def test_the_tool_writes_the_file_that_lies_here_and_uses_none_of_our_code():
    """The vectors are a second implementation's, and up to date."""
    spec = importlib.util.spec_from_file_location("make_vectors_link", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert json.loads(tool.render(tool.build())) == VECTORS
    assert "import protocols" not in TOOL.read_text()
    assert "from protocols" not in TOOL.read_text()
