"""Servers that take turns on one machine."""

import shutil
from pathlib import Path

from loadtests import process
from loadtests.api import VaultApi
from loadtests.servers import Server, pausing_others, running_servers
from tests.acceptance.link.estate import until


class Sleeper(Server):
    """Nothing but two processes."""

    kind = "sleeper"

    def command(self) -> list[str]:
        """A shell and its child."""
        return ["sh", "-c", "sleep 60; true"]

    def allow(self, api: VaultApi) -> None:
        """Nobody asks."""


def programs(server: Server) -> set[str]:
    """Of its processes; a child has its parent's until it begins its own."""
    return {
        Path(f"/proc/{one}/comm").read_text().strip() for one in process.process_tree(server.pid)
    }


def states(server: Server) -> set[str]:
    """Of its processes, the letters of proc(5)."""
    members = process.process_tree(server.pid)
    return {Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[0] for one in members}


def test_in_a_turn_the_others_stand_still(tmp_path: Path) -> None:
    """All of their processes, and they go on afterwards."""
    first, second = Sleeper(tmp_path), Sleeper(tmp_path)
    with running_servers(first, second):
        first.start()
        second.start()
        until(lambda: programs(second) == {"sh", "sleep"}, "a child")
        with pausing_others(first, (first, second)):
            until(lambda: states(second) == {"T"}, "stopped")
            assert "T" not in states(first)
        until(lambda: "T" not in states(second), "going on")


def test_a_copy_begins_to_count_anew(tmp_path: Path) -> None:
    """What it had before is gone, and its files may have the numbers of those."""
    one, two = Sleeper(tmp_path / "one"), Sleeper(tmp_path / "two")
    for server, log in ((one, b"1\n2\n3\n"), (two, b"1\n2\n3\n4\n")):
        server.folder.mkdir()
        (server.folder / "audit.log").write_bytes(log)
    assert two.audit_log.count_lines() == 4
    shutil.rmtree(two.folder)
    assert two.copy_from(one).audit_log.count_lines() == 3
