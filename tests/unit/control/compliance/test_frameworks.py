"""The data files are whole, and a control is never better than its evidence."""

import pytest

from control.compliance.frameworks import (
    assess_controls,
    combined_result,
    load_frameworks,
    require_control,
    validated_ids,
)
from control.errors import ValidationError
from control.model.compliance import Evidence, NoteView, Result

MET, PARTLY, GAP, NONE = Result.MET, Result.PARTLY, Result.GAP, Result.NOT_EVIDENCED
EVIDENCE = {
    *("agents.certificates", "agents.keys", "agents.presence", "agents.releases"),
    *("agents.revocations", "audit.alerts", "audit.checkpoints", "audit.trail"),
    *("people.changes", "people.dormant", "people.idle", "people.lock-time", "people.refusals"),
    *("people.roles", "people.second-factor", "people.sessions", "people.sign-ins"),
    *("policies.breadth", "policies.changes", "policies.in-force"),
    *("retention.rules", "retention.six-years"),
    *("upkeep.backups", "upkeep.keys", "upkeep.restores", "upkeep.rotations"),
    "upkeep.rotation-debt",
}


def test_the_files_are_whole() -> None:
    """Four standards; ids once; each control has evidence or says what a person adds."""
    assert list(load_frameworks()) == ["hipaa", "iso27001", "pci-dss", "soc2"]
    for framework in load_frameworks().values():
        ids = [control.id for control in framework.controls]
        assert len(ids) == len(set(ids)) > 10
        for control in framework.controls:
            assert control.evidence or control.by_hand, control.id
            assert set(control.evidence) <= EVIDENCE, control.id
            assert control.statement.endswith("."), control.id


@pytest.mark.parametrize(
    ("results", "by_hand", "whole"),
    [
        ([MET, MET], False, MET),
        ([MET], True, PARTLY),
        ([MET, PARTLY], False, PARTLY),
        ([MET, NONE], False, PARTLY),
        ([MET, GAP], False, GAP),
        ([NONE, GAP], False, GAP),
        ([NONE, NONE], False, NONE),
        ([], True, NONE),
        ([], False, NONE),
    ],
)
def test_a_control_is_as_good_as_its_evidence(
    results: list[Result], by_hand: bool, whole: Result
) -> None:
    """A gap stays one, and what nothing is known of is not evidenced."""
    assert combined_result(results, by_hand=by_hand) is whole


def test_what_is_not_there_shows_nothing() -> None:
    """Evidence that was not collected; a note takes the place of what a person had to add."""
    item = Evidence(id="audit.alerts", title="", result=MET, summary="", figures={})
    note = NoteView(id="n", by="acme/ann", at=1, text="seen", name="", digest="")
    by_id = {
        c.id: c.result for c in assess_controls(load_frameworks()["soc2"], {item.id: item}, {})
    }
    assert (by_id["CC7.3"], by_id["CC8.1"], by_id["CC1.4"]) == (PARTLY, NONE, NONE)
    noted = assess_controls(
        load_frameworks()["soc2"], {item.id: item}, {("soc2", "CC7.3"): (note,)}
    )
    assert [c.result for c in noted if c.id == "CC7.3"] == [MET]


def test_names_are_checked() -> None:
    """In order, each once; what is unknown is refused by name."""
    assert validated_ids(["soc2", "hipaa", "soc2"]) == ("hipaa", "soc2")
    require_control("soc2", "CC6.1")
    for wrong in ([], ["none"], ["soc2", "none"]):
        with pytest.raises(ValidationError):
            validated_ids(wrong)
    for framework, control in (("none", "CC6.1"), ("soc2", "A.8.2")):
        with pytest.raises(ValidationError):
            require_control(framework, control)
