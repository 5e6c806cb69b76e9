"""loadtests.people.failures: what fails is remembered."""

from pathlib import Path

import pytest

from loadtests.people.failures import VARIABLE, remember


def test_one_failure_leaves_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went well leaves none."""
    file = tmp_path / "failed"
    monkeypatch.setenv(VARIABLE, str(file))
    remember(request_type="GET", exception=None, response_length=3)
    assert not file.exists()
    remember(request_type="GET", exception=ConnectionError())
    remember(request_type="GET", exception=None)
    assert file.exists()
