"""loadtests.durability.report_page: a page that shows what was run, and what was not."""

from typing import Any

from loadtests.durability.report_page import WEAKENED, render_page
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


def test_rounds_are_shown_with_their_counts_date_commit_and_seed() -> None:
    """One could run it again."""
    told = render_page({"kill": RUN, f"power{WEAKENED}synchronous": RUN | {"wrong": 9}})
    assert "| kill | 3 | 1,234 | 5 | 6 | 0 | 2026-01-02T03:04+00:00, abc1234, seed 7;" in told
    assert "| power, weakened: synchronous | 3 | 1,234 | 5 | 6 | 9 |" in told


def test_what_the_machine_cannot_do_is_named() -> None:
    """With its reason."""
    assert "not done: only root mounts" in render_page(
        {"power": RUN | {"undone": "only root mounts"}}
    )
    assert "Not done: no seccomp." in render_page({"points": RUN | {"undone": "no seccomp"}})


def test_a_whole_sweep_says_so_by_saying_nothing() -> None:
    """And sums up."""
    told = render_page(WHOLE)
    assert "Not whole" not in told
    assert f"Struck {3 * len(WHOLE)} times, wrong 0." in told
    assert "| write | 3 | 3 | - | - | 3 |" in told
    assert "| write, 2 processes | 3 | 3 | 3 | 3 | 3 |" in told
    for story in ("key rotation", "stop"):  # the leader's alone
        assert f"| {story}, 2 processes | 3 | 3 | - | - | 3 |" in told


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


def test_rows_of_older_code_are_told() -> None:
    """Which they are, and at which commit."""
    older = {group("stop", kind): RUN | {"commit": "01d"} for kind in kinds_of("stop", 1)}
    assert "at commit abc1234; 2 cores" in render_page(WHOLE)
    assert "at commit abc1234, but stop at 01d; 2 cores" in render_page(WHOLE | older)


def test_a_wrong_position_stands_out() -> None:
    """In its cell, and in the sum."""
    told = render_page(WHOLE | {group(SCENARIO_NAMES[0], "kill"): RUN | {"wrong": 2}})
    assert "| write | 3, 2 wrong |" in told
    assert "wrong 2." in told
