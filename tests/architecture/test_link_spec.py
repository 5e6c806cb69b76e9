"""docs/spec says all that a second implementation of the link has to know."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.link.errors import RemoteFaultError
from protocols.link.fields import SIGNATURE_SIZE
from protocols.link.messages import Direction
from protocols.link.session import open_frame as open_by_code
from protocols.link.signing import LinkKey, Verifier
from tests.architecture.spec_reader import (
    Pages,
    RefusedError,
    open_bundle,
    open_frame,
    read_pages,
)
from tools.link_tables import TARGET, render

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "link.json").read_text())
Case = dict[str, Any]


@pytest.fixture(scope="module")
def pages() -> Pages:
    """The tables, read from the page."""
    return read_pages(TARGET.read_text())


def test_the_page_of_messages_is_what_the_code_says() -> None:
    """After a change: `python -m tools.link_tables`."""
    assert TARGET.read_text() == render()


@pytest.mark.parametrize("case", VECTORS["frames"], ids=lambda case: case["name"])
def test_the_text_decides_each_frame(pages: Pages, case: Case) -> None:
    """By the tables and the order of the checks alone, as the code does."""
    frame = bytes.fromhex(case["frame"]) if "frame" in case else bytes(case["zeros"])
    key = bytes.fromhex(VECTORS["public_keys"]["agent" if case["direction"] == 1 else "control"])
    version = case.get("version", 1)
    if case["expect"] == "success":
        payload = open_frame(pages, frame, case["direction"], key, version)
        assert payload.hex() == case["payload"]
        return
    with pytest.raises(RefusedError) as refused:
        open_frame(pages, frame, case["direction"], key, version)
    assert str(refused.value) == case["expect"]


@pytest.mark.parametrize("case", VECTORS["bundles"], ids=lambda case: case["name"])
def test_the_text_decides_each_bundle(pages: Pages, case: Case) -> None:
    """Likewise."""
    key = bytes.fromhex(VECTORS["public_keys"]["policy"])
    stored = case["stored_version"], bytes.fromhex(case["stored_hash"])
    bundle, now = bytes.fromhex(case["bundle"]), case["now"]
    if case["expect"] == "success":
        assert open_bundle(pages, bundle, key, stored=stored, now=now).hex() == case["hash"]
        return
    with pytest.raises(RefusedError) as refused:
        open_bundle(pages, bundle, key, stored=stored, now=now)
    assert str(refused.value) == case["expect"]


GOOD = [case for case in VECTORS["frames"] if case["expect"] == "success"]
SEEDS = {1: b"a" * 32, 2: b"c" * 32}


@given(st.sampled_from(GOOD), st.data())
@settings(max_examples=300)
def test_text_and_code_judge_what_was_changed_alike(case: Case, data: st.DataObject) -> None:
    """Whatever byte is another, missing or added in a frame that is signed all the same."""
    envelope = bytearray.fromhex(case["frame"])[SIGNATURE_SIZE:]
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.integers(0, len(envelope) - 1))
        envelope[place : place + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=1))
    way = Direction(bytes([case["direction"]]))
    key = LinkKey.from_seed(SEEDS[case["direction"]])
    frame = key.sign(way, bytes(envelope)) + envelope
    version = case.get("version", 1)
    try:
        open_by_code(bytes(frame), way, Verifier([key.public]), version)
        judged = "success"
    except RemoteFaultError as error:
        judged = str(error.fault)
    try:
        open_frame(read_pages(TARGET.read_text()), bytes(frame), way.value[0], key.public, version)
        told = "success"
    except RefusedError as error:
        told = str(error)
    assert told == judged


def test_the_reader_knows_nothing_of_the_code() -> None:
    """What it decides it has from the text."""
    text = (Path(__file__).parent / "spec_reader.py").read_text()
    assert "from protocols" not in text
    assert "import msgspec" not in text
