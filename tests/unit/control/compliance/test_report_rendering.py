"""The HTML file: whole in itself, no script, nothing from outside taken as markup."""

import csv
import re
from base64 import b64encode
from io import StringIO

import pytest
from msgspec.structs import replace

from actors.testing import FakeWorld
from control.compliance import report_rendering
from control.compliance.report_file import Report, parse_report_file
from control.core import Core
from control.crypto import sha256
from control.model.compliance import CertificateProof, CheckpointProof, PolicyProof, ReportedProof
from tests.unit.control.compliance.conftest import DAY, made, noted
from tests.unit.control.conftest import ROOT
from tests.unit.control.fleet import enrolled

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=y>"


async def test_nothing_is_taken_as_markup(core: Core, world: FakeWorld) -> None:
    """Titles, targets of the trail, notes; its policy lets in its own style sheet alone."""
    await enrolled(core, world, "one")
    await noted(core, "users.create", target=HOSTILE)
    note = ("soc2", "CC1.4"), HOSTILE, ("", b"")
    await core.compliance.notes.add_note("acme", *note, caller=ROOT, request_id="r")
    now = world.now() + 1
    world.advance(1e-9)
    row = await core.compliance.reports.request_report(
        "acme", HOSTILE, ["soc2"], period=(now - DAY, now), by="acme/ann"
    )
    await core.compliance.reports.make_waiting()
    report = parse_report_file(await core.compliance.reports.read_report("acme", row.id))
    text = report_rendering.render_html(report, "d").decode()
    assert HOSTILE not in text
    assert text.count("&lt;script&gt;") >= 3
    tags = set(re.findall(r"<([a-z0-9]+)", text))
    assert not tags & {"script", "img", "iframe", "link", "object", "form"}
    [style] = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert b64encode(sha256(style.encode())).decode() in report_rendering.CONTENT_SECURITY_POLICY
    assert not re.findall(r'(?:src|style|\bon[a-z]+)="', text)
    for item in report.evidence.values():
        assert text.count(f'id="{item.id}"') == 1
    lines = report_rendering.render_csv(report).decode().splitlines()
    assert lines[0] == ",".join(report_rendering.COLUMNS)


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        (
            CheckpointProof(
                vault="v<", size=5, root="r", note="", cosignature="c", signer="", at=1,
                grown_from=3, grown_root="", path=(),
            ),
            ["v&lt;", "5 records, grown from 3"],
        ),
        (
            PolicyProof(vault="v", version=7, applied=6, contents={}, bundle="b<", signature="s"),
            ["bundle 7, in force 6", "b&lt;"],
        ),
        (
            CertificateProof(
                vault="v", serial="s<", generation=2, not_before=1, not_after=2, revoked_at=3,
                issuer="i", digest="d",
            ),
            ["s&lt;", "revoked 1970"],
        ),
        (ReportedProof(vault="v", name="n<", value="<", at=0), ["n&lt; = &lt;"]),
    ],
    ids=["checkpoint", "policy", "certificate", "reported"],
)  # fmt: skip
def test_a_proof_is_one_line(proof: object, words: list[str]) -> None:
    """Of text that is escaped."""
    told = report_rendering.render_proof(proof)  # type: ignore[arg-type]
    assert all(word in told for word in words), told


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
    return list(csv.DictReader(StringIO(report_rendering.render_csv(report).decode())))
