"""Making a vault: never one that could not be opened, and until then the agent says what to do."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, Answer, running, served_agent
from tests.acceptance.command import freehold

TWO = {"secret_shares": 2, "secret_threshold": 2}
Break = Callable[[Path], None]


def agent_of(folder: Path, kind: str) -> Agent:
    """A vault whose anchor and log have folders of their own; not started."""
    encryption: dict[str, Any] = {"key_management": kind}
    if kind == "file":
        encryption["key_file"] = f"{folder}/keys/root.key"
        (folder / "keys").mkdir(exist_ok=True)
    return served_agent(
        folder,
        {
            "encryption": encryption,
            "anchor": {"file": f"{folder}/anchor/vault.anchor"},
            "audit": {"enabled": True, "log_file": f"{folder}/log/audit.log"},
        },
    )


def init(agent: Agent) -> Answer:
    """As people do."""
    return agent.call("PUT", "/v1/sys/init", TWO, token="")


def state(agent: Agent) -> int:
    """501: nothing was made."""
    return agent.call("GET", "/v1/sys/health", token="").status


def no_anchor_folder(folder: Path) -> None:
    """A file is where it should be."""
    (folder / "anchor").write_bytes(b"")


def no_log_folder(folder: Path) -> None:
    """The same of the log."""
    (folder / "log").write_bytes(b"")


def another_anchor(folder: Path) -> None:
    """Of a vault whose database is gone."""
    (folder / "anchor").mkdir()
    (folder / "anchor/vault.anchor").write_bytes(b"{}")


def another_log(folder: Path) -> None:
    """The same of its log."""
    (folder / "log").mkdir()
    (folder / "log/audit.log").write_bytes(b"{}\n")


def a_link_to_nowhere(folder: Path) -> None:
    """It is there all the same."""
    (folder / "anchor").mkdir()
    (folder / "anchor/vault.anchor").symlink_to(folder / "nowhere")


def a_folder(path: str) -> Break:
    """It is where the opening needs a file, or none."""

    def broken(folder: Path) -> None:
        (folder / path).mkdir(parents=True)

    broken.__name__ = f"folder {path}"
    return broken


BREAKS = {
    no_anchor_folder: ("anchor", "anchor.file"),
    no_log_folder: ("log", "audit.log_file"),
    another_anchor: ("anchor/vault.anchor", "move"),
    another_log: ("log/audit.log", "move"),
    a_link_to_nowhere: ("anchor/vault.anchor", "move"),
    a_folder("anchor/vault.anchor.new"): ("anchor/vault.anchor.new", "move"),
    a_folder("anchor/vault.anchor.accept"): ("anchor/vault.anchor.accept", "move"),
    a_folder("anchor/vault.anchor.clock"): ("anchor/vault.anchor.clock", "move"),
    a_folder("log/audit.log.reserve"): ("log/audit.log.reserve", "move"),
}


@pytest.mark.parametrize("kind", ["shamir", "file"])
@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.__name__)
def test_no_share_of_a_vault_that_could_not_be_opened(
    folder: Path, broken: Break, kind: str
) -> None:
    """Refused with path and remedy, and nothing is made; once that is done it is made and opens."""
    path, remedy = BREAKS[broken]
    broken(folder)
    with running(agent_of(folder, kind)) as agent:
        refused = init(agent)
        assert refused.status in {400, 500}
        [told] = refused.json["errors"]
        assert str(folder / path) in told
        assert remedy in told
        assert state(agent) == 501
        assert not (folder / "keys/root.key").exists()
        fault = folder / path
        if fault.is_dir():
            fault.rmdir()
        else:
            fault.unlink()
        made = init(agent).json
        for share in made["keys"]:
            agent.call("PUT", "/v1/sys/unseal", {"key": share})
        assert state(agent) == 200
        assert not list(folder.rglob("*.probe*"))


def test_a_folder_that_is_not_ours(folder: Path) -> None:
    """Where the agent's user may not write."""
    if os.geteuid() == 0:
        place = Path("/proc/self")  # where not even root makes files
    else:
        place = folder / "locked"
        place.mkdir(mode=0o500)
    agent = served_agent(folder, {"anchor": {"file": f"{place}/vault.anchor"}})
    with running(agent):
        refused = init(agent)
        assert refused.status == 500
        assert str(place) in refused.json["errors"][0]
        assert state(agent) == 501


def test_a_key_file_in_a_folder_that_is_not_ours(folder: Path) -> None:
    """Said with the folder and the remedy, as an error and not as "try again"; nothing is made."""
    place = Path("/proc/self") if os.geteuid() == 0 else folder / "locked"
    if os.geteuid():
        place.mkdir(mode=0o500)
    key = {"key_management": "file", "key_file": f"{place}/root.key"}
    with running(served_agent(folder, {"encryption": key})) as agent:
        told = freehold("--address", agent.address, "operator", "init")
        assert told.returncode == 1
        assert f"cannot write key file {place}/root.key: {place}: " in told.stderr
        assert "encryption.key_file" in told.stderr
        assert state(agent) == 501
        assert not list(folder.rglob("*.anchor*"))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_vault_that_is_not_made_says_how_to_make_it(folder: Path, workers: int) -> None:
    """In both dialects and on the command line; "unseal it" would send one to shares of nobody."""
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers}
    with running(served_agent(folder, {"server": server})) as agent:
        for path in ("/v1/secret/data/app", "/api/v1/secrets/secret/app", "/v1/sys/mounts"):
            answer = agent.call("GET", path, token="any")
            assert answer.status == 503
            assert "freehold operator init" in answer.body.decode()
        assert state(agent) == 501
        assert agent.call("GET", "/health/ready").json == {"status": "uninitialized"}
        told = freehold("--address", agent.address, "operator", "unseal", stdin="AAAA")
        assert (told.returncode, "freehold operator init" in told.stderr) == (2, True)
        told = freehold("--address", agent.address, "secret", "list")
        assert (told.returncode, "freehold operator init" in told.stderr) == (2, True)
        assert "operator unseal" not in told.stderr
