"""The head file: of two slots the newest good one counts."""

from pathlib import Path

import pytest

from vault.audit.checkpoint import TreeHead, log_origin, sign_checkpoint
from vault.audit.head_file import SECTOR, SPACING, encode_slot, read_head
from vault.audit.testing import make_keys

KEYS = make_keys()


def _slot(size: int, mark: int = 0) -> bytes:
    head = TreeHead(
        log_origin("v" * 64), size, bytes(32), bytes(32), "2027-01-15T08:00:00.123456789Z"
    )
    return encode_slot(sign_checkpoint(head, KEYS), mark)


def _file(tmp_path: Path, first: bytes, second: bytes) -> Path:
    path = tmp_path / "head"
    path.write_bytes(first.ljust(SPACING, b"\0") + second)
    return path


def test_a_slot_fits_into_a_sector() -> None:
    """Also with the longest vault id and very large numbers: a slot is written whole or not."""
    assert len(_slot(2**53, 2**40)) == SECTOR


def test_a_slot_that_does_not_fit_is_refused() -> None:
    """A note that is too long is not cut."""
    with pytest.raises(ValueError, match="does not fit"):
        encode_slot("x" * SECTOR, 0)


def test_the_newest_slot_counts(tmp_path: Path) -> None:
    """Whichever slot holds the larger size is the head, with its hint."""
    for first, second, slot in ((3, 7, 1), (9, 7, 0)):
        stored = read_head(_file(tmp_path, _slot(first, 11), _slot(second, 22)), KEYS, KEYS.public)
        assert (stored.slot, stored.head.size) == (slot, max(first, second))
        assert stored.checkpoint_offset == (11, 22)[slot]
        assert stored.note.startswith("freehold.audit/")


@pytest.mark.parametrize("torn", [b"", b"\0" * SECTOR, _slot(9)[:200], b"\xff" * SECTOR])
def test_a_torn_slot_leaves_the_other(tmp_path: Path, torn: bytes) -> None:
    """A write that was cut costs one slot and no more."""
    assert read_head(_file(tmp_path, torn, _slot(7)), KEYS, KEYS.public).head.size == 7
    assert read_head(_file(tmp_path, _slot(7), torn), KEYS, KEYS.public).head.size == 7


@pytest.mark.parametrize("data", [b"", b"\0" * 8192, b"1\nx"])
def test_no_good_slot_is_no_head(tmp_path: Path, data: bytes) -> None:
    """A head file without a signed head is refused, as is one by another key."""
    with pytest.raises(ValueError, match=r"checkpoint|empty"):
        read_head(_file(tmp_path, data, data), KEYS, KEYS.public)
    with pytest.raises(ValueError, match="another key"):
        read_head(_file(tmp_path, _slot(1), _slot(2)), KEYS, make_keys(b"other").public)
