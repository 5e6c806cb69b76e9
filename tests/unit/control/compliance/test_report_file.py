"""Whoever changes a report is told where; whoever writes a new one has not our key."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from actors.testing import FakeWorld
from control.compliance.report_file import parse_report_file, verify_report_file
from control.core import Core
from tests.unit.control.compliance.conftest import made, noted
from tests.unit.control.fleet import enrolled

Edit = Callable[[dict[str, Any]], None]


def _result(file: dict[str, Any]) -> None:
    file["controls"]["soc2/CC6.1"]["result"] = "met"
    file["controls"]["soc2/CC6.1"]["title"] += "!"


def _out(file: dict[str, Any]) -> None:
    del file["evidence"]["people.roles"]


def _in(file: dict[str, Any]) -> None:
    file["evidence"]["people.more"] = file["evidence"]["people.roles"]


def _header(file: dict[str, Any]) -> None:
    file["header"]["until"] += 1


def _manifest(file: dict[str, Any]) -> None:
    file["manifest"]["header"] = "00" * 32


def _key(file: dict[str, Any]) -> None:
    file["key"] = "00" * 32


def _signature(file: dict[str, Any]) -> None:
    file["signature"] = "00" * 64


@pytest.mark.parametrize(
    ("edit", "where"),
    [
        (_result, "control soc2/CC6.1: it was edited"),
        (_out, "evidence people.roles: it was taken out"),
        (_in, "evidence people.more: it was put in"),
        (_header, "header: it was edited"),
        (_manifest, "manifest: this key has not signed it"),
        (_key, "key: the file names another one"),
        (_signature, "manifest: this key has not signed it"),
    ],
    ids=["result", "out", "in", "header", "manifest", "key", "signature"],
)
async def test_what_was_changed_is_named(core: Core, edit: Edit, where: str) -> None:
    """And nothing else of the same kind."""
    _, body = await made(core)
    assert verify_report_file(body, core.compliance.reports.public_key).faults == ()
    file = msgspec.json.decode(body)
    edit(file)
    told = verify_report_file(msgspec.json.encode(file), core.compliance.reports.public_key).faults
    assert where in told
    assert len(told) <= 3  # a manifest that was edited has another digest, and other parts


async def test_a_proof_is_held_against_itself(core: Core, world: FakeWorld) -> None:
    """Signed or not: a record whose hash does not fit is named. Other bytes are no report."""
    await enrolled(core, world, "one")
    await noted(core, "users.create")
    world.advance(1e-9)
    _, body = await made(core)
    report = parse_report_file(body)
    proofs = report.evidence["people.changes"].proofs
    assert len(proofs) == 1
    assert verify_report_file(body, bytes(32)).faults != ()
    for data in (b"", b"{}", b"[]", body[:-2], b"\xff"):
        told = verify_report_file(data, core.compliance.reports.public_key)
        assert told.faults == ("this is no report, or its outline was edited",)
