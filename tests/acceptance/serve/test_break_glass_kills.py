"""kill -9 of an agent while break-glass holders open it, at a few moments: see the module."""

from pathlib import Path

from tests.acceptance.serve.break_glass_kills import run


def test_whenever_it_dies_the_use_is_on_record_before_anything_is_open(folder: Path) -> None:
    """And the vault opens after it."""
    assert sum(run(folder, [0.2, 0.5, 1.0]).values()) == 3
