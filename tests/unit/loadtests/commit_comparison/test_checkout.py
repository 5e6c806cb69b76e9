"""loadtests.commit_comparison: another commit is run, and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from loadtests.commit_comparison import command_of_commit, is_commit

MAIN = "def main():\n    print('{}')\n    return 3\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits of a program that says which it is; we stand in the newer one."""
    folder = tmp_path / "repository"
    (folder / "ui/cli").mkdir(parents=True)
    monkeypatch.chdir(folder)
    git("init", "-q")
    for version in ("old", "new"):
        (folder / "ui/cli/main.py").write_text(MAIN.format(version))
        git("add", ".")
        git("-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", version)
    return folder


def git(*arguments: str) -> str:
    """What it prints."""
    return subprocess.run(
        ["git", *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_other_commit_runs(repository: Path, tmp_path: Path) -> None:
    """With its own code, and its exit code is the command's; afterwards there is no other tree."""
    with command_of_commit("HEAD~1", tmp_path, Path(sys.executable)) as command:
        told = subprocess.run([str(command)], capture_output=True, text=True, check=False)
        assert (told.stdout, told.returncode) == ("old\n", 3)
    assert git("worktree", "list").count("\n") == 0
    assert "new" in (repository / "ui/cli/main.py").read_text()


@pytest.mark.usefixtures("repository")
def test_what_is_no_commit_is_refused(tmp_path: Path) -> None:
    """Nothing is made."""
    assert is_commit("HEAD~1")
    assert not is_commit("nothing")
    with (
        pytest.raises(subprocess.CalledProcessError),
        command_of_commit("nothing", tmp_path, Path(sys.executable)),
    ):
        pass
    assert not (tmp_path / "tree").exists()
