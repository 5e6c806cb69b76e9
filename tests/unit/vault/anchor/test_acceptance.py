"""An acceptance counts for an hour, and is gone once it is used."""

from pathlib import Path

import pytest

from vault.anchor.acceptance import VALID, Acceptance, path_of, read, remove, write
from vault.audit.testing import NOW


@pytest.mark.parametrize(
    ("after", "counts"),
    [(-1, False), (0, True), (VALID - 1, True), (VALID, False)],
    ids=["from the future", "new", "old", "too old"],
)
def test_it_counts_for_an_hour(tmp_path: Path, after: int, *, counts: bool) -> None:
    """To the nanosecond; one that is dated ahead does not count at all."""
    anchor, accepted = tmp_path / "apart" / "vault.anchor", Acceptance(NOW, "a fire")
    write(anchor, accepted)
    assert read(anchor, NOW + after) == (accepted if counts else None)


def test_it_is_removed(tmp_path: Path) -> None:
    """Whether it is there or not."""
    anchor = tmp_path / "vault.anchor"
    assert read(anchor, NOW) is None
    remove(anchor)
    write(anchor, Acceptance(NOW, "x"))
    assert path_of(anchor).stat().st_mode & 0o777 == 0o600
    remove(anchor)
    assert not path_of(anchor).exists()


def test_what_is_none_does_not_count(tmp_path: Path) -> None:
    """An empty file, or one with a key that we do not know."""
    anchor = tmp_path / "vault.anchor"
    for content in (b"", b"{}", b'{"time":1,"reason":"x","for":"ever"}'):
        path_of(anchor).write_bytes(content)
        assert read(anchor, 1) is None
