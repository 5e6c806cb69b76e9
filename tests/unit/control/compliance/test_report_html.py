"""The HTML file: whole in itself, no script, nothing from outside taken as markup."""

import re
from base64 import b64encode

import pytest

from actors.testing import FakeWorld
from control.compliance import report_csv, report_html
from control.compliance.report_file import parse_report_file
from control.core import Core
from control.crypto import sha256
from control.model.compliance import CertificateProof, CheckpointProof, PolicyProof, ReportedProof
from tests.unit.control.compliance.conftest import DAY, noted
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
    text = report_html.render_html(report, "d").decode()
    assert HOSTILE not in text
    assert text.count("&lt;script&gt;") >= 3
    tags = set(re.findall(r"<([a-z0-9]+)", text))
    assert not tags & {"script", "img", "iframe", "link", "object", "form"}
    [style] = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert b64encode(sha256(style.encode())).decode() in report_html.CONTENT_SECURITY_POLICY
    assert not re.findall(r'(?:src|style|\bon[a-z]+)="', text)
    for item in report.evidence.values():
        assert text.count(f'id="{item.id}"') == 1
    lines = report_csv.render_csv(report).decode().splitlines()
    assert lines[0] == ",".join(report_csv.COLUMNS)


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
    told = report_html.render_proof(proof)  # type: ignore[arg-type]
    assert all(word in told for word in words), told
