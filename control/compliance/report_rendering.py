"""Renders a report as one HTML file, for screen and paper, or as CSV.

The HTML has no script and loads nothing; its own content policy allows its one style sheet alone,
by hash. Values are inserted through `escape`.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from control.compliance.proofs import proof_kind
from control.compliance.report_file import Report
from control.crypto import sha256
from control.model.compliance import (
    CertificateProof,
    CheckpointProof,
    Evidence,
    Judged,
    PolicyProof,
    Proof,
    ReportedProof,
    Result,
    SettingProof,
    StateProof,
    TrailProof,
)
from control.services.csv_tables import csv_table
from protocols.instant import SECOND, rfc3339

STYLE: Final = """
:root{color-scheme:light;--ink:#1b2430;--soft:#59636f;--line:#d5dbe1;--met:#17663a;--partly:#8a5300;
--gap:#a8201a;--none:#59636f}
*{box-sizing:border-box}
body{margin:0 auto;max-width:62rem;padding:2rem 1.5rem;color:var(--ink);background:#fff;
font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 .25rem}
h2{font-size:1.2rem;margin:2.2rem 0 .6rem;padding-bottom:.3rem;border-bottom:2px solid var(--ink)}
h3{font-size:1rem;margin:0}
p{margin:.3rem 0}
code{font:.82em/1.4 ui-monospace,monospace}
.soft{color:var(--soft)}
.card{border:1px solid var(--line);border-radius:6px;padding:.8rem 1rem;margin:.7rem 0;
break-inside:avoid}
.head{display:flex;gap:.75rem;justify-content:space-between;align-items:baseline}
.mark{font-weight:600;white-space:nowrap}
.met{color:var(--met)}.partly{color:var(--partly)}.gap{color:var(--gap)}
.not_evidenced{color:var(--none)}
ul{margin:.3rem 0;padding-left:1.2rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .5rem;border-bottom:1px solid var(--line)}
th{font-size:.85rem;color:var(--soft);font-weight:600}
th+th{text-align:right}
td.n{text-align:right;font-variant-numeric:tabular-nums}
.proofs{font-size:.82rem}
.proofs td:first-child{white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.8rem 0}
dt{color:var(--soft)}dd{margin:0}
@media(max-width:40rem){dl{grid-template-columns:1fr}body{padding:1rem}.head{display:block}}
@page{size:A4;margin:16mm 14mm}
@media print{body{max-width:none;padding:0;font-size:10pt}h2{break-after:avoid}
tr{break-inside:avoid}.long{break-inside:auto}a{color:inherit;text-decoration:none}}
"""
_STYLE_HASH: Final = b64encode(sha256(STYLE.encode())).decode()
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"
)
RESULT_LABELS: Final[dict[Result, str]] = {
    Result.MET: "✓ Met",
    Result.PARTLY: "◐ Partly met",
    Result.GAP: "✗ Gap",
    Result.NOT_EVIDENCED: "○ Not evidenced",
}
COLUMNS: Final = (
    *("framework", "control", "title", "control_result", "evidence", "evidence_result", "summary"),
    *("exceptions", "lacking", "proofs", "by_hand", "notes", "since", "until", "report"),
)


def render_csv(report: Report) -> bytes:
    """The CSV in UTF-8, with a heading."""
    return csv_table(COLUMNS, _lines(report))


def _lines(report: Report) -> Iterator[tuple[str, ...]]:
    for control in report.controls:
        found = [report.evidence[name] for name in control.evidence if name in report.evidence]
        items: list[Evidence | None] = [*found] or [None]
        for item in items:
            yield _line(report, control, item)


def _line(report: Report, control: Judged, item: Evidence | None) -> tuple[str, ...]:
    header = report.header
    of_evidence = ("", "not_evidenced", "", "", "", "0")
    if item is not None:
        exceptions = "; ".join(item.exceptions)
        of_evidence = (
            item.id, item.result, item.summary, exceptions, item.lacking, str(item.total),
        )  # fmt: skip
    return (
        header.frameworks[control.framework],
        control.id,
        control.title,
        control.result,
        *of_evidence,
        control.by_hand,
        "; ".join(f"{note.by}: {note.text}" for note in control.notes),
        rfc3339(header.since),
        rfc3339(header.until),
        header.id,
    )


def render_html(report: Report, digest: str) -> bytes:
    """The HTML in UTF-8."""
    header = report.header
    body = "".join(
        (
            _title(report, digest),
            _counts(report),
            *(_framework(report, name) for name in header.frameworks),
            _evidence(report),
            _method_section(report),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(CONTENT_SECURITY_POLICY)}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(header.title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    ).encode()


def _title(report: Report, digest: str) -> str:
    header = report.header
    facts = (
        ("Organization", header.org),
        ("Period", f"{_time(header.since)} to {_time(header.until)}"),
        ("Made", f"{_time(header.made_at)}, asked for by {header.made_by}"),
        ("Report", header.id),
        ("Digest (SHA-256)", digest),
        ("Signed by (Ed25519)", header.trail.key),
    )
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(value)}</code></dd>" for name, value in facts
    )
    return (
        f"<h1>{escape(header.title)}</h1>"
        '<p class="soft">What the system can show, control by control, with the proof of each. '
        "It is evidence for an assessment, not an assessment.</p>"
        f"<dl>{rows}</dl>"
    )  # fmt: skip


def _counts(report: Report) -> str:
    heads = "".join(f"<th>{escape(RESULT_LABELS[result])}</th>" for result in Result)
    rows = "".join(
        f"<tr><td>{escape(title)}</td>"
        + "".join(f'<td class="n">{report.header.counts[name][result]}</td>' for result in Result)
        + "</tr>"
        for name, title in report.header.frameworks.items()
    )
    return f"<table><thead><tr><th>Framework</th>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _framework(report: Report, name: str) -> str:
    mine = [control for control in report.controls if control.framework == name]
    cards = "".join(_control(report, control) for control in mine)
    return f"<section><h2>{escape(report.header.frameworks[name])}</h2>{cards}</section>"


def _control(report: Report, control: Judged) -> str:
    told = [report.evidence[name] for name in control.evidence if name in report.evidence]
    items = "".join(
        f'<li><span class="mark {item.result}">{RESULT_LABELS[item.result]}</span> '
        f'<a href="#{escape(item.id)}">{escape(item.title)}</a>: {escape(item.summary)}</li>'
        for item in told
    )
    notes = "".join(
        f"<li>{escape(note.by)}, {_time(note.at)}: {escape(note.text)}"
        + (f" ({escape(note.name)}, SHA-256 <code>{note.digest}</code>)" if note.digest else "")
        + "</li>"
        for note in control.notes
    )
    by_hand = f'<p class="soft">To be added by a person: {escape(control.by_hand)}</p>'
    return (
        '<article class="card"><div class="head">'
        f"<h3>{escape(control.id)} {escape(control.title)}</h3>{_result_mark(control.result)}</div>"
        f"<p>{escape(control.statement)}</p>"
        + (f"<ul>{items}</ul>" if items else "")
        + (by_hand if control.by_hand else "")
        + (f"<p>Added by people:</p><ul>{notes}</ul>" if notes else "")
        + "</article>"
    )


def _result_mark(result: Result) -> str:
    return f'<span class="mark {result}">{RESULT_LABELS[result]}</span>'


def _evidence(report: Report) -> str:
    parts = "".join(_item(item) for item in report.evidence.values())
    return f"<section><h2>Evidence and proofs</h2>{parts}</section>"


def _item(item: Evidence) -> str:
    exceptions = "".join(f"<li>{escape(name)}</li>" for name in item.exceptions)
    shown = len(item.proofs)
    first = "; what is wrong comes first" if shown < item.total else ""
    of_all = f"{shown} of {item.total} proofs{first}" if shown else "no proof"
    return (
        f'<article class="card long" id="{escape(item.id)}"><div class="head">'
        f"<h3>{escape(item.title)}</h3>{_result_mark(item.result)}</div>"
        f"<p>{escape(item.summary)}</p>"
        + (f'<p class="soft">Not known: {escape(item.lacking)}</p>' if item.lacking else "")
        + (f"<p>Not so:</p><ul>{exceptions}</ul>" if exceptions else "")
        + f'<p class="soft"><code>{escape(item.id)}</code>, {of_all}</p>'
        + _proofs(item.proofs)
        + "</article>"
    )


def _proofs(proofs: Iterable[Proof]) -> str:
    rows = "".join(
        f"<tr><td>{escape(proof_kind(proof))}</td><td>{render_proof(proof)}</td></tr>"
        for proof in proofs
    )
    return f'<table class="proofs"><tbody>{rows}</tbody></table>' if rows else ""


def render_proof(proof: Proof) -> str:
    """One line of markup about a proof."""
    match proof:
        case TrailProof(record):
            return (
                f"record {record.seq} of the trail, {_time(record.at)}: "
                f"{escape(record.actor or 'nobody')} {escape(record.operation)} "
                f"{escape(record.target)} {escape(record.result)}<br>"
                f"<code>hash {escape(record.hash)}</code>"
            )
        case CheckpointProof():
            grown = f", grown from {proof.grown_from} (proven)" if proof.grown_from else ""
            return (
                f"{escape(proof.vault)}: {proof.size} records{grown}, cosigned "
                f"{_time(proof.at)}<br><code>root {escape(proof.root)}<br>"
                f"{escape(proof.cosignature.strip())}</code>"
            )
        case PolicyProof():
            return (
                f"{escape(proof.vault)}: bundle {proof.version}, in force {proof.applied}<br>"
                f"<code>bundle {escape(proof.bundle)}<br>signature {escape(proof.signature)}</code>"
            )
        case CertificateProof():
            end = f", revoked {_time(proof.revoked_at)}" if proof.revoked_at else ""
            return (
                f"{escape(proof.vault)}: serial {escape(proof.serial)}, generation "
                f"{proof.generation}, until {_time(proof.not_after)}{end}<br>"
                f"<code>SHA-256 {escape(proof.digest)}</code>"
            )
        case ReportedProof():
            when = f", {_time(proof.at)}" if proof.at else ""
            return f"{escape(proof.vault)} says: {escape(proof.name)} = {escape(proof.value)}{when}"
        case StateProof():
            return (
                f"{escape(proof.subject or 'the organization')}: {escape(proof.name)} was "
                f"{escape(proof.value)} from {_time(proof.since)} to {_time(proof.until)}"
            )
        case SettingProof():
            return f"{escape(proof.name)} = {escape(proof.value)}"


def _method_section(report: Report) -> str:
    end = report.header.trail
    return (
        "<section><h2>How to verify</h2><p>The JSON form of this report is what is signed. "
        "<code>freehold control report verify FILE</code> checks its signature, every part of it, "
        "and every proof that can be checked without the database; the control plane also compares "
        "the digest with the one on its trail.</p>"
        f"<p>End of the trail when it was made: record {end.size}, <code>{escape(end.hash)}</code>"
        "</p></section>"
    )


def _time(instant: int) -> str:
    """To the second; the JSON form has all digits."""
    return rfc3339(instant - instant % SECOND)
