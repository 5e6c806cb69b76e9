"""An agent that was away for a month, its certificate long over: real processes, nobody helps."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from actors.world import SystemWorld
from control.ca.directory import CaDirectory
from protocols.pki import files
from protocols.pki.certificates import serial_of, to_der, to_pem, validity_period
from protocols.pki.issuance import issue_agent
from protocols.pki.keys import KeyKind, key_hash, load_curve_key, new_curve_key, store_key
from protocols.pki.names import AgentName
from tests.acceptance.agent import Agent, dev_agent, running
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import Plane, dev_plane
from tests.acceptance.link.estate import BASE, LINK, until

DAY = 86_400 * 10**9
NAME = AgentName.from_slugs("acme", "away")


@contextmanager
def left(folder: Path) -> Iterator[tuple[Plane, Agent]]:
    """A control plane that runs, and an agent that was enrolled and has been linked once."""
    (folder / "plane").mkdir()
    (folder / "agent").mkdir()
    plane, agent = dev_plane(folder / "plane"), dev_agent(folder / "agent")
    with running(plane):
        plane.sign_in()
        plane.organization("acme")
        made = plane.want(201, "POST", f"{BASE}/enrolment-tokens", {"vault": "away"})
        done = freehold(
            "agent", "enrol", "--control", f"https://127.0.0.1:{plane.link_port}",
            "--pin", made["pin"], "--token", made["secret"], "--data-dir", str(agent.data),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with running(agent):
            until(lambda: agent.call("GET", LINK).json["state"] == "online", "it is linked")
        yield plane, agent


class Past:
    """Makes what the agent has, and what the ledger knows of it, as old as it would be."""

    def __init__(self, plane: Plane, agent: Agent) -> None:
        self.ledger = plane.data / "control.db"
        self.uplink = agent.data / "uplink"
        self.authority = CaDirectory(plane.data / "ca").issuing_state().authority
        self.now = SystemWorld().now()

    def aged(self, days: int) -> None:
        """The agent's certificate, the same but for its serial and times."""
        key = load_curve_key(self.uplink / "agent.key", KeyKind.LEAF)
        leaf = issue_agent(self.authority, NAME, key.public_key(), self.now - days * DAY)
        chain = to_pem([leaf, self.authority.certificate])
        files.write_atomically(self.uplink / "agent.crt", chain, files.PUBLIC_MODE, replace=True)
        self._change(
            "UPDATE ca_certificates SET serial = ?, der = ?, not_before = ?, not_after = ?",
            serial_of(leaf), to_der(leaf), *validity_period(leaf),
        )  # fmt: skip

    def lost_renewal(self, days: int) -> None:
        """It asked for a second one so long ago, which was granted, and never heard of it."""
        key = new_curve_key(KeyKind.LEAF)
        store_key(self.uplink / "next.key", key)
        leaf = issue_agent(self.authority, NAME, key.public_key(), self.now - days * DAY)
        self._change(
            "INSERT INTO ca_certificates (serial, key, org, vault, generation, der, issuer,"
            " not_before, not_after) VALUES (?, ?, ?, ?, 2, ?, ?, ?, ?)",
            serial_of(leaf), key_hash(key.public_key()), *NAME, to_der(leaf), self.authority.id,
            *validity_period(leaf),
        )  # fmt: skip
        self._change("UPDATE ca_agents SET generation = 2")

    def _change(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.ledger, timeout=20)) as db, db:
            db.execute(statement, values)


@pytest.mark.parametrize(("lost", "generation"), [(False, 2), (True, 3)])
def test_a_month_away(folder: Path, lost: bool, generation: int) -> None:
    """Linked again by itself: with the last answer received, and with the last answer lost."""
    with left(folder) as (plane, agent):
        past = Past(plane, agent)
        past.aged(30)
        if lost:
            past.lost_renewal(29)
        with running(agent):
            until(lambda: agent.call("GET", LINK).json["state"] == "online", "it came back")
            assert agent.call("GET", LINK).json["generation"] == generation
        row = plane.want(200, "GET", f"{BASE}/agents/away")
        assert row["life"] == "active"


def test_four_months_away_need_a_person(folder: Path) -> None:
    """The grace is over: the agent goes on, and says what it needs."""
    with left(folder) as (plane, agent):
        Past(plane, agent).aged(120)
        with running(agent):
            until(lambda: "person must enrol" in agent.call("GET", LINK).json["trouble"], "told")
            agent.call("POST", "/v1/secret/data/app", {"data": {"value": "1"}})
            assert agent.call("GET", "/v1/secret/data/app").status == 200
