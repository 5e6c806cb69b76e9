"""loadtests.mixed_load.failures: what fails is remembered."""

from pathlib import Path

import pytest

from loadtests.mixed_load.failures import VARIABLE, record_failure


def test_one_failure_leaves_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went well leaves none."""
    file = tmp_path / "failed"
    monkeypatch.setenv(VARIABLE, str(file))
    record_failure(request_type="GET", exception=None, response_length=3)
    assert not file.exists()
    record_failure(request_type="GET", exception=ConnectionError())
    record_failure(request_type="GET", exception=None)
    assert file.exists()
