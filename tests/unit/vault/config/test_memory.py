"""vault.config.memory: the least of what the machine has and its control groups allow."""

from pathlib import Path

from vault.config.memory import limit

NONE = "max\n"


def found(folder: Path, cgroup: str, **groups: str) -> int:
    """The limit, where these groups say this (`__` between the parts of a path)."""
    proc = folder / "cgroup"
    proc.write_text(cgroup)
    for name, said in groups.items():
        group = folder.joinpath("groups", *name.split("__")[1:])
        group.mkdir(parents=True, exist_ok=True)
        (group / "memory.max").write_text(said)
    return limit(proc, folder / "groups")


def test_the_narrowest_group_counts(tmp_path: Path) -> None:
    """Its own or one above; "max" is no limit."""
    said = "1:name=systemd:/\n0::/a.slice/b.service\n"
    assert found(tmp_path, said, r__a__x="1\n", **{"r__a.slice": "5000000\n"}) == 5_000_000
    assert found(tmp_path, said, **{"r__a.slice__b.service": "4000000\n"}) == 4_000_000
    assert found(tmp_path, said, **{"r__a.slice": NONE, "r__a.slice__b.service": "7000\n"}) == 7000


def test_without_groups_all_of_the_machine(tmp_path: Path) -> None:
    """No file, no such line, no limit, one that is larger than the machine."""
    machine = limit(tmp_path / "none", tmp_path)
    assert machine > 1 << 20
    assert found(tmp_path, "1:memory:/old\n") == machine
    assert found(tmp_path, "0::/\n") == machine
    assert found(tmp_path, "0::/a\n", r__a=NONE) == machine
    assert found(tmp_path, "0::/a\n", r__a=f"{machine + 1}\n") == machine
