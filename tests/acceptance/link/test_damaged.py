"""The link's own files damaged: the agent starts all the same, obeys its bundle, and says so."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.control.plane import dev_plane
from tests.acceptance.link.test_agent import enrolled, initialised, link, opened, pushed, until

WIDE = {"effect": "allow", "paths": ["*"], "capabilities": ["*"]}
NARROW = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
DENIED = {"effect": "deny", "paths": ["secret/other"], "capabilities": ["read"]}


class Site(NamedTuple):
    """An agent that was linked once, with a bundle in force, and is stopped."""

    agent: Agent
    shares: list[str]
    reader: str
    """The token of somebody who has the bundle's policy alone."""
    uplink: Path

    @contextmanager
    def started(self) -> Iterator[None]:
        """Started and unsealed."""
        with running(self.agent):
            opened(self.agent, self.shares)
            yield

    def obeys(self) -> None:
        """The bundle says everything but one secret; the ceiling leaves reading secrets."""
        call, reader = self.agent.call, self.reader
        assert call("GET", "/v1/secret/data/app", token=reader).status == 200
        assert call("GET", "/v1/secret/data/other", token=reader).status == 403
        assert call("GET", "/api/v1/policies", token=reader).status == 403
        body = {"data": {"password": "other"}}
        assert call("POST", "/v1/secret/data/app", body, token=reader).status == 403
        assert call("POST", "/v1/secret/data/app", body).status == 200

    def metric(self, name: str) -> str:
        """As it is scraped."""
        text = self.agent.call("GET", "/metrics").body.decode()
        return next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} "))


def tampered(uplink: Path) -> None:
    """One bit of the ledger."""
    log = uplink / "egress.log"
    data = bytearray(log.read_bytes())
    data[60] ^= 1
    log.write_bytes(data)


def no_database(uplink: Path) -> None:
    """The head of the file."""
    emptied(uplink, 0, 100)


def no_names(uplink: Path) -> None:
    """What tables are called: Python cannot even repeat SQLite's complaint."""
    data = (uplink / "uplink.db").read_bytes()
    at = data.rindex(b"CREATE TABLE inbox", 0, 4096)
    emptied(uplink, at - 10, at + 12, b"\xff")


def no_table(uplink: Path) -> None:
    """A table's page: it opens, and cannot be read."""
    emptied(uplink, 4096, 1 << 20)


def emptied(uplink: Path, first: int, last: int, noise: bytes = b"") -> None:
    """These bytes of the database are noise."""
    file = uplink / "uplink.db"
    data = bytearray(file.read_bytes())
    size = len(data[first:last])
    data[first:last] = noise * size or os.urandom(size)
    file.write_bytes(data)
    for more in ("-wal", "-shm"):
        file.with_name(f"{file.name}{more}").unlink(missing_ok=True)


def test_the_vault_serves_without_its_link(folder: Path) -> None:
    """Under the bundle in force, nothing written to what is damaged; linked when it is mended."""
    (folder / "plane").mkdir()
    (folder / "agent").mkdir()
    plane = dev_plane(folder / "plane")
    ceiling = folder / "ceiling.json"
    ceiling.write_text(json.dumps({"rules": [NARROW]}))
    section = {"enabled": True, "ceiling": str(ceiling), "heartbeat_interval": "1s"}
    agent = served_agent(folder / "agent", {"control_plane": section})
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        enrolled(plane, "two", "--config", str(folder / "agent" / "vault.yaml"))
        with running(agent):
            shares = initialised(agent)
            opened(agent, shares)
            agent.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
            for name in ("app", "other"):
                agent.call("POST", f"/v1/secret/data/{name}", {"data": {"password": "first"}})
            made = agent.call("POST", "/v1/auth/token/create", {"policies": ["reader"]})
            site = Site(agent, shares, made.json["auth"]["client_token"], agent.data / "uplink")
            pushed(plane, "reader", {"rules": [WIDE, DENIED]})
            until(lambda: link(agent)["policy_version"] == 1)
            site.obeys()
        for damage, files, told in (
            (tampered, "egress.log*", "egress"),
            (no_database, "uplink.db*", "uplink.db"),
            (no_names, "uplink.db*", "uplink.db"),
            (no_table, "uplink.db*", "uplink.db"),
        ):
            damage(site.uplink)
            before = (site.uplink / "egress.log").read_bytes()
            with site.started():
                site.obeys()
                found = link(agent)
                assert (found["state"], found["connected"], found["vault"]) == (
                    "offline",
                    False,
                    "two",
                )
                assert (found["standing"], found["policy_version"]) == ("enrolled", 1)
                assert told in found["trouble"]
                assert "restart the agent" in found["trouble"]
                until(lambda: site.metric("vault_control_plane_closed") == "1.0")
                until(lambda: site.metric("vault_policy_version") == "1.0")
            assert "there is no link" in agent.output()
            assert (site.uplink / "egress.log").read_bytes() == before
            for file in site.uplink.glob(files):
                if file.suffix != ".lock":
                    file.rename(folder / f"{damage.__name__}.{file.name}")
            with site.started():
                until(lambda: link(agent)["state"] == "online")
                until(lambda: site.metric("vault_control_plane_closed") == "0.0")
                site.obeys()
    assert agent.verify().returncode == 0
