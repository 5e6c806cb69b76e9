"""vault.config.machine_limits: the least of what the machine has and its control groups allow."""

import os
from pathlib import Path

import pytest

from vault.config.machine_limits import cores, has_process_handles, memory

NONE = "max\n"
SAID = "1:name=systemd:/\n0::/a.slice/b.service\n"


def placed(folder: Path, cgroup: str, name: str, **groups: str) -> tuple[Path, Path]:
    """Where these groups say this in the file `name` (`__` between the parts of a path)."""
    proc = folder / "cgroup"
    proc.write_text(cgroup)
    for path, said in groups.items():
        group = folder.joinpath("groups", *path.split("__")[1:])
        group.mkdir(parents=True, exist_ok=True)
        (group / name).write_text(said)
    return proc, folder / "groups"


def bytes_of(folder: Path, cgroup: str, **groups: str) -> int:
    """The memory, where they say this."""
    return memory(*placed(folder, cgroup, "memory.max", **groups))


def cores_of(folder: Path, cgroup: str, **groups: str) -> int:
    """The cores, where they say this."""
    return cores(*placed(folder, cgroup, "cpu.max", **groups))


def test_the_narrowest_group_counts(tmp_path: Path) -> None:
    """Its own or one above; "max" is no limit."""
    assert bytes_of(tmp_path, SAID, r__a__x="1\n", **{"r__a.slice": "5000000\n"}) == 5_000_000
    assert bytes_of(tmp_path, SAID, **{"r__a.slice__b.service": "4000000\n"}) == 4_000_000
    own = {"r__a.slice": NONE, "r__a.slice__b.service": "7000\n"}
    assert bytes_of(tmp_path, SAID, **own) == 7000


def test_without_groups_all_of_the_machine(tmp_path: Path) -> None:
    """No file, no such line, no limit, one that is larger than the machine."""
    machine = memory(tmp_path / "none", tmp_path)
    assert machine > 1 << 20
    assert bytes_of(tmp_path, "1:memory:/old\n") == machine
    assert bytes_of(tmp_path, "0::/\n") == machine
    assert bytes_of(tmp_path, "0::/a\n", r__a=NONE) == machine
    assert bytes_of(tmp_path, "0::/a\n", r__a=f"{machine + 1}\n") == machine


def test_a_quota_of_time_is_so_many_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole ones, the fewest of all groups, and never none."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    above = {"r__a.slice": "390000 100000\n"}
    assert cores_of(tmp_path, SAID, **above, **{"r__a.slice__b.service": "800000 100000\n"}) == 3
    assert cores_of(tmp_path, SAID, **above, **{"r__a.slice__b.service": "50000 25000\n"}) == 2
    assert cores_of(tmp_path, SAID, **{"r__a.slice": "150000 100000\n"}) == 1
    assert cores_of(tmp_path, SAID, **{"r__a.slice__b.service": "5000 100000\n"}) == 1
    assert cores_of(tmp_path, SAID, **{"r__a.slice__b.service": "0 0\n"}) == 1


def test_without_a_quota_all_cores_that_it_may_run_on(tmp_path: Path) -> None:
    """No file, no limit, one that is larger; something else than two numbers counts as none."""
    machine = len(os.sched_getaffinity(0))
    assert cores(tmp_path / "none", tmp_path) == machine
    for said in ("max 100000\n", "6400000 100000\n", "many\n", ""):
        assert cores_of(tmp_path, "0::/a\n", r__a=said) == machine


def test_handles_of_processes_are_there_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel says; what is tried leaves nothing open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert has_process_handles()
    assert len(list(Path("/proc/self/fd").iterdir())) == before

    def refuse(_: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert not has_process_handles()
    monkeypatch.delattr(os, "pidfd_open")
    assert not has_process_handles()
