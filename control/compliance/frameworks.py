"""The compliance frameworks: data files, read and validated once."""

from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from control.errors import ValidationError
from control.model.compliance import Control, Evidence, Framework, Judged, NoteView, Result
from protocols import json_text

_FOLDER: Final = "frameworks"


@cache
def load_frameworks() -> Mapping[str, Framework]:
    """All frameworks by id, in the order of their ids."""
    folder = files("control.compliance") / _FOLDER
    found = sorted((item for item in folder.iterdir() if item.name.endswith(".json")), key=str)
    decoded = (json_text.decode(item.read_bytes(), type=Framework) for item in found)
    return {framework.id: framework for framework in decoded}


def validated_ids(ids: Collection[str]) -> tuple[str, ...]:
    """The ids in order, each once. Raises `ValidationError` for an unknown one."""
    if not ids or not load_frameworks().keys() >= set(ids):
        names = ", ".join(load_frameworks())
        raise ValidationError(
            "framework_unknown", f"the frameworks are {names}", field="frameworks"
        )
    return tuple(sorted(set(ids)))


def require_control(framework: str, control: str) -> None:
    """Raise `ValidationError` unless there is such a control."""
    found = load_frameworks().get(framework)
    if found is None or control not in {each.id for each in found.controls}:
        raise ValidationError(
            "control_unknown",
            "there is no such control: a report of its framework names them",
            field="control",
        )


def assess_controls(
    framework: Framework,
    evidence: Mapping[str, Evidence],
    notes: Mapping[tuple[str, str], tuple[NoteView, ...]],
) -> list[Judged]:
    """Each of its controls with its result. Missing evidence shows nothing."""
    return [
        _assess_control(framework.id, control, evidence, notes.get((framework.id, control.id), ()))
        for control in framework.controls
    ]


def _assess_control(
    framework: str,
    control: Control,
    evidence: Mapping[str, Evidence],
    notes: tuple[NoteView, ...],
) -> Judged:
    results = [
        evidence[wanted].result if wanted in evidence else Result.NOT_EVIDENCED
        for wanted in control.evidence
    ]
    return Judged(
        framework=framework,
        id=control.id,
        title=control.title,
        statement=control.statement,
        result=combined_result(results, by_hand=bool(control.by_hand) and not notes),
        evidence=control.evidence,
        by_hand=control.by_hand,
        notes=notes,
    )


def combined_result(results: Collection[Result], *, by_hand: bool) -> Result:
    """The result of several pieces of evidence; `by_hand`: a person has to add a note.

    One gap makes a gap. Met needs all of them, and the note.
    """
    told = set(results)
    if Result.GAP in told:
        return Result.GAP
    if not told or told == {Result.NOT_EVIDENCED}:
        return Result.NOT_EVIDENCED
    return Result.MET if told == {Result.MET} and not by_hand else Result.PARTLY
