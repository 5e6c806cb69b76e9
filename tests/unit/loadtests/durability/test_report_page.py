"""loadtests.durability.report_page: a page that shows what was run, and what was not."""

from typing import Any

from loadtests.durability.report_page import render_page
from loadtests.durability.sweep import FORMS, SCENARIO_NAMES, group, kinds_of

RUN = {
    "faults": 3, "wrong": 0, "missed": 1, "undone": "", "seed": 7, "most": 0, "load": "1",
    "counts": {"ok": 1234, "refused": 5, "unknown": 6},
    "taken": "2026-01-02T03:04+00:00", "commit": "abc1234", "where": "2 cores",
}  # fmt: skip
WHOLE: dict[str, Any] = {
    group(story, kind, workers): RUN
    for story in SCENARIO_NAMES
    for workers in FORMS
    for kind in kinds_of(story, workers)
}


def test_what_the_machine_cannot_do_is_named() -> None:
    """With its reason."""
    assert "not done: only root mounts" in render_page(
        {"power": RUN | {"undone": "only root mounts"}}
    )
    assert "Not done: no seccomp." in render_page({"points": RUN | {"undone": "no seccomp"}})


def test_a_sweep_with_a_hole_says_where() -> None:
    """Kinds that were not run, and those of which only some positions were struck."""
    story = SCENARIO_NAMES[0]
    lacking = WHOLE | {group(story, "EIO"): RUN | {"most": 2}}
    del lacking[group(story, "delay")]
    del lacking[group(story, "worker torn", 2)]
    told = render_page(lacking)
    assert "**Not whole.**" in told
    assert f"- {story}: not run: delay; only some positions, spread evenly: EIO" in told
    assert f"- {story}, 2 processes: not run: worker torn\n" in told
    assert "Nothing of it has been run." in render_page({})


def test_a_wrong_position_stands_out() -> None:
    """In its cell, and in the sum."""
    told = render_page(WHOLE | {group(SCENARIO_NAMES[0], "kill"): RUN | {"wrong": 2}})
    assert "| write | 3, 2 wrong |" in told
    assert "wrong 2." in told
