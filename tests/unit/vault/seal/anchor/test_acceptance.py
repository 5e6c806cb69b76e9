"""An acceptance counts for an hour, and is gone once it is used."""

from pathlib import Path

import pytest

from vault.audit.testing import NOW
from vault.seal.anchor.acceptance import (
    VALIDITY,
    Acceptance,
    acceptance_path,
    read_acceptance,
    remove_acceptance,
    write_acceptance,
)


@pytest.mark.parametrize(
    ("after", "counts"),
    [(-1, False), (0, True), (VALIDITY - 1, True), (VALIDITY, False)],
    ids=["from the future", "new", "old", "too old"],
)
def test_it_counts_for_an_hour(tmp_path: Path, after: int, *, counts: bool) -> None:
    """To the nanosecond; one that is dated ahead does not count at all."""
    anchor, accepted = tmp_path / "apart" / "vault.anchor", Acceptance(NOW, "a fire")
    write_acceptance(anchor, accepted)
    assert read_acceptance(anchor, NOW + after) == (accepted if counts else None)


def test_it_is_removed(tmp_path: Path) -> None:
    """Whether it is there or not."""
    anchor = tmp_path / "vault.anchor"
    assert read_acceptance(anchor, NOW) is None
    remove_acceptance(anchor)
    write_acceptance(anchor, Acceptance(NOW, "x"))
    assert acceptance_path(anchor).stat().st_mode & 0o777 == 0o600
    remove_acceptance(anchor)
    assert not acceptance_path(anchor).exists()


def test_what_is_none_does_not_count(tmp_path: Path) -> None:
    """An empty file, or one with a key that we do not know."""
    anchor = tmp_path / "vault.anchor"
    for content in (b"", b"{}", b'{"time":1,"reason":"x","for":"ever"}'):
        acceptance_path(anchor).write_bytes(content)
        assert read_acceptance(anchor, 1) is None
