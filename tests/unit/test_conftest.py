"""What holds for the whole suite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

def test_that_runs():
    pass

def test_that_does_not():
    pytest.skip("not here")
"""


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_skipped_test_fails_the_run_where_nobody_looks(
    tmp_path: Path, root: Path, ci: str, code: int
) -> None:
    """With CI set; by hand it is a skipped test."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_sessionfinish\n")
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    told = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"CI": ci, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert told.returncode == code, told.stdout + told.stderr
    assert "1 passed, 1 skipped" in told.stdout
