"""The tools of the tests do what the tests believe."""

import errno
from pathlib import Path

import pytest

from vault.audit.testing import (
    NOW,
    FaultyDisk,
    fail_at,
    make_event,
    make_keys,
    make_pending_record,
    write_log,
)
from vault.audit.verify import verify_log


def test_keys_are_those_of_their_seed() -> None:
    """Equal seeds, equal keys; the public key belongs to the signing key."""
    keys, other = make_keys(b"a"), make_keys(b"b")
    assert keys.public == make_keys(b"a").public != other.public
    assert keys.mac(b"x") != other.mac(b"x")
    assert keys.verify(keys.public, b"text", keys.sign(b"text"))
    assert not keys.verify(keys.public, b"text", other.sign(b"text"))


def test_events_and_drafts_differ_by_their_number() -> None:
    """Each is told apart by its request id; any field can be changed."""
    assert make_event(1).request_id == "request-1"
    assert make_event(ip="::1").ip == "::1"
    assert make_pending_record(1).body != make_pending_record(2).body
    assert make_pending_record().time == NOW


def test_a_log_is_a_real_one(tmp_path: Path) -> None:
    """What `write_log` leaves verifies, and a second call goes on."""
    first = write_log(tmp_path / "audit.log", 3).size
    second = write_log(tmp_path / "audit.log", 3).size
    assert verify_log(tmp_path / "audit.log", make_keys()).size == second > first


def test_a_disk_fails_when_told(tmp_path: Path) -> None:
    """The n-th call fails and no other; a short write fails at its second half."""
    disk = FaultyDisk(fail_at(1, errno.ENOSPC))
    fd = disk.open(tmp_path / "f", create=True)
    with pytest.raises(OSError, match="faulty") as caught:
        disk.sync(fd)
    assert caught.value.errno == errno.ENOSPC
    disk.sync(fd)
    disk.fault = fail_at(3, taken=2)
    assert disk.write(fd, memoryview(b"hello"), 0) == 2
    with pytest.raises(OSError, match="faulty"):
        disk.write(fd, memoryview(b"llo"), 2)
    disk.close(fd)
    assert disk.calls == ["open", "sync", "sync", "write", "write"]
