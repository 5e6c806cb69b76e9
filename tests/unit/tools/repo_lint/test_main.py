from pathlib import Path

import pytest

from tools.repo_lint.__main__ import main


def test_a_broken_rule_fails_the_command_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and a line a finding, so that `make lint` stops there."""
    (tmp_path / "README.md").write_text("[x](nowhere.md)\n")
    assert main(tmp_path) == 1
    assert "README.md:1: the link to nowhere.md leads nowhere\n" in capsys.readouterr().out
