"""A report as CSV: a line for each control and piece of evidence."""

from collections.abc import Iterator
from typing import Final

from control.compliance.report_file import Report
from control.model.compliance import Evidence, Judged
from control.services.csv_tables import csv_table
from protocols.instant import rfc3339

COLUMNS: Final = (
    *("framework", "control", "title", "control_result", "evidence", "evidence_result", "summary"),
    *("exceptions", "lacking", "proofs", "by_hand", "notes", "since", "until", "report"),
)


def render_csv(report: Report) -> bytes:
    """UTF-8, with a head line."""
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
