"""loadtests.machine: which code figures are of."""

import subprocess
from pathlib import Path

import pytest

from loadtests.machine import PAGES, current_commit


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one module and the pages, all of it committed; we stand in it."""
    pages, readme = PAGES
    (tmp_path / pages).mkdir(parents=True)
    for file in ("module.py", f"{pages}/results.md", readme):
        (tmp_path / file).write_text("before")
    monkeypatch.chdir(tmp_path)
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def test_pages_are_not_what_was_measured(checkout: Path) -> None:
    """A command that has written its page leaves the commit to the next one as it is."""
    clean = current_commit()
    for page in ("docs/benchmarks/results.md", "README.md"):
        (checkout / page).write_text("after")
    assert current_commit() == clean
    assert "dirty" not in clean


def test_changed_code_is_told(checkout: Path) -> None:
    """It is not the commit's."""
    clean = current_commit()
    (checkout / "module.py").write_text("after")
    assert current_commit() == f"{clean}-dirty"
