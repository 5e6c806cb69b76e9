"""Promises of failure reports: enough to find the line, nothing that could be a secret."""

from __future__ import annotations

import logging

import pytest

from actors import SystemWorld, log_failure, supervise
from actors.report import Verdict, make_report
from actors.testing import EAGER, CrashError, Diary, probes


def test_report_names_type_and_place_only() -> None:
    """File, line and function; neither the text nor the source."""
    with pytest.raises(CrashError) as caught:
        raise CrashError("canary-5f1d")
    report = make_report("s/a", caught.value, Verdict.RESTART, 0.25)
    assert report.failure == "CrashError"
    assert report.where.startswith("test_report.py:")
    assert report.where.endswith("in test_report_names_type_and_place_only")
    assert "canary" not in repr(report)


async def test_every_judged_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A restart that works leaves a warning, or nobody would know; without the text."""
    with caplog.at_level(logging.WARNING, logger="actors"):
        async with supervise(
            "s", probes("a", Diary()), policy=EAGER, world=SystemWorld(), report=log_failure
        ) as sup:
            with pytest.raises(CrashError):
                await sup.ref("a").call(CrashError("canary-5f1d"), 1)
            await sup.ref("a").call("x", 1)
    (record,) = caplog.records
    assert "actor s/a failed: CrashError at" in record.getMessage()
    assert "restart" in record.getMessage()
    assert "canary" not in caplog.text
