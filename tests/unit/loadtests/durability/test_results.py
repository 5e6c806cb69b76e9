"""loadtests.durability.results: what one run finds does not take away what another found."""

from pathlib import Path

from loadtests.durability.report import Tally
from loadtests.durability.results import PAGE, Run, load_results, save_result

RUN = Run(seed=7, most=0, taken="2026-01-02", commit="abc1234", where="2 cores", load="1")


def test_a_kind_that_is_run_again_is_replaced_and_others_stay(tmp_path: Path) -> None:
    """The page is made of all of them."""
    save_result(tmp_path, RUN, Tally("kill", faults=1))
    save_result(tmp_path, RUN, Tally("power", faults=2))
    save_result(tmp_path, RUN, Tally("kill", faults=3))
    assert {kind: found["faults"] for kind, found in load_results(tmp_path).items()} == {
        "kill": 3,
        "power": 2,
    }
    assert "| kill | 3 |" in (tmp_path / PAGE).read_text()


def test_the_run_is_kept_with_each_kind(tmp_path: Path) -> None:
    """Its seed, date, commit and machine."""
    save_result(tmp_path, RUN, Tally("kill", faults=1))
    kept = load_results(tmp_path)["kill"]
    assert (kept["seed"], kept["commit"], kept["taken"]) == (7, "abc1234", "2026-01-02")
