"""The CSV: every control, and no cell that a spreadsheet would run."""

import csv
from io import StringIO

from msgspec.structs import replace

from actors.testing import FakeWorld
from control.compliance import report_csv
from control.compliance.report_file import Report, parse_report_file
from control.core import Core
from tests.unit.control.compliance.conftest import made
from tests.unit.control.conftest import ROOT


async def test_every_control_has_a_line(core: Core, world: FakeWorld) -> None:
    """One for each piece of evidence, and one where there is none; formulas are text."""
    note = ("soc2", "CC1.4"), "=HYPERLINK(1)", ("", b"")
    await core.compliance.notes.add_note("acme", *note, caller=ROOT, request_id="r")
    world.advance(1e-9)
    _, body = await made(core, "soc2")
    rows = rows_of(parse_report_file(body))
    assert {row["control"] for row in rows} == {c.id for c in parse_report_file(body).controls}
    [hand] = [row for row in rows if row["control"] == "CC1.4"]
    assert (hand["evidence"], hand["control_result"]) == ("", "not_evidenced")
    assert hand["notes"].startswith("platform/admin: =")  # not at the beginning: no formula
    report = parse_report_file(body)
    formula = replace(report, header=replace(report.header, id="=1+1"))
    assert {row["report"] for row in rows_of(formula)} == {"'=1+1"}


def rows_of(report: Report) -> list[dict[str, str]]:
    """As a spreadsheet reads it."""
    return list(csv.DictReader(StringIO(report_csv.render_csv(report).decode())))
