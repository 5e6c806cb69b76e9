"""A control plane and agents: real processes on hosts of their own, with wires between them."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from tests.acceptance.agent import Agent, Answer, own_folder, served_agent
from tests.acceptance.command import freehold
from tests.acceptance.control.plane import served_plane
from tests.acceptance.link.netns import DEVICE, Host, hosts
from tests.acceptance.link.wire import Wire
from tests.support.polling import await_value

BASE = "organizations/acme"
LINK_PORT = 8301
DEAD = 3  # seconds
LINK = "/api/v1/system/link"
ALLOW = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}


def until(holds: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait for something that other processes bring about."""
    await_value(holds, seconds, what)


class Outbox(NamedTuple):
    """How an agent's outbox stands, by its own file."""

    stream: bytes
    newest: int
    acknowledged: int
    messages: int


class Site:
    """An agent on its host."""

    def __init__(self, name: str, host: Host, wire: Wire, folder: Path, control: str) -> None:
        self.name = name
        self.host = host
        self.wire = wire
        self.control = control
        self.seals = 0
        """How often it was sealed, each an alert."""
        section = {
            "enabled": True,
            "heartbeat_interval": "1s",
            "metrics_interval": "1s",
            "checkpoint_interval": "1s",
            "dead_after": f"{DEAD}s",
            "reconnect_within": "2s",
            "tls_keylog": str(folder / "tls.log"),
        }
        self.agent: Agent = served_agent(folder, {"control_plane": section})
        self.shares: list[str] = []

    def call(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """A request of one of its own clients, on its own host. The decoded answer."""
        answer = self.host.inside(lambda: self.agent.call(method, path, body, **more))
        assert answer.status < 300, (method, path, answer.status, answer.body)
        return answer.json

    def start(self) -> None:
        """Started and unsealed."""
        self.host.inside(self.agent.start)
        if not self.shares:
            made = self.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
            self.agent.token, self.shares = made["root_token"], made["keys"]
            self.open()
            self.call("POST", "/v1/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        else:
            self.open()

    def open(self) -> None:
        """Unsealed."""
        for share in self.shares:
            self.call("PUT", "/v1/sys/unseal", {"key": share}, token="")

    def alarmed(self) -> None:
        """While cut off: one more thing that the control plane must be told, once."""
        waiting = self._waiting("sealed")
        self.call("POST", "/api/v1/system/seal")
        self.seals += 1
        until(lambda: self._waiting("sealed") > waiting, "its alert is in the outbox")
        self.open()

    def serves(self, value: str) -> None:
        """Write and read back: whatever becomes of the link."""
        self.call("POST", "/v1/secret/data/app", {"data": {"value": value}})
        assert self.call("GET", "/v1/secret/data/app")["data"]["data"] == {"value": value}

    @property
    def state(self) -> str:
        """Of its link, by its own word."""
        return str(self.status["state"])

    @property
    def status(self) -> Any:
        """All of it."""
        return self.call("GET", LINK)

    @property
    def outbox(self) -> Outbox:
        """As its own file has it."""
        return Outbox(
            *self._look("SELECT stream, newest, acknowledged, messages FROM outbox_state")
        )

    def sessions(self) -> int:
        """How many it has ever begun, by its ledger: connections whose first frame went out."""
        log = self.agent.folder / "uplink" / "egress.log"
        lines = [json.loads(line) for line in log.read_bytes().splitlines()]
        return sum(line.get("kind") == "frame" and line["offset"] == 0 for line in lines)

    def applied(self) -> int:
        """How many bundles it has applied, by its audit log."""
        return self.agent.audit_log.read_bytes().count(b'"fleet.apply"') // 2  # intent and outcome

    def _waiting(self, code: str) -> int:
        return int(
            self._look(f"SELECT count(*) FROM outbox WHERE topic LIKE 'alert {code} %'")[0]  # noqa: S608  # our own word
        )

    def _look(self, query: str) -> Any:
        file = f"file:{self.agent.folder}/uplink/uplink.db?mode=ro"
        with closing(sqlite3.connect(file, uri=True)) as db:
            return db.execute(query).fetchone()


class Estate:
    """The control plane and its sites."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.host = host
        self.folder = folder
        self.versions = 0
        made = freehold("control", "ca", "init", "--root", f"{folder}/root", "-d", f"{folder}/ca")
        assert made.returncode == 0, made.stderr
        settings = {
            "server": {"listen": "127.0.0.1:8300", "tls": {"enabled": False}},
            "link": {
                "listen": f"0.0.0.0:{LINK_PORT}",
                "hosts": ["control.test"],
                "authority": str(folder / "ca"),
                "dead_after": f"{DEAD}s",
            },
            "database": {"url": f"sqlite:///{folder}/control.db"},
            "keys": {"folder": str(folder / "keys")},
            "presence": {"heartbeat": "1s", "offline_after": "2s"},
        }
        file = folder / "control.yaml"
        file.write_text(json.dumps(settings))
        self.plane = served_plane(file)

    def start(self) -> None:
        """Started; an organization `acme` is there."""
        self.host.inside(self.plane.start)
        if not self.plane.token:
            self.host.inside(self.plane.sign_in)
            self.host.inside(lambda: self.plane.organization("acme"))

    def want(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        """A request of a person."""
        return self.host.inside(lambda: self.plane.want(status, method, path, body))

    def admit(self, site: Site) -> None:
        """Enrolled by a token, over its wire."""
        made = self.want("POST", f"{BASE}/enrolment-tokens", {"vault": site.name}, 201)
        done = site.host.inside(
            lambda: freehold(
                "agent",
                "enrol",
                "--control",
                f"https://{site.control}:{LINK_PORT}",
                "--pin",
                made["pin"],
                "--token",
                made["secret"],
                "--config",
                str(site.agent.folder / "vault.yaml"),
            )
        )
        assert done.returncode == 0, done.stderr

    def push(self) -> None:
        """A further version of a policy for everybody."""
        self.versions += 1
        path = f"{BASE}/policies/readers"
        self.want("POST", f"{path}/versions", {"document": {"rules": [ALLOW]}}, 201)
        self.want("PUT", f"{path}/targets", {"targets": [{"all": True}]})
        body = {"version": self.versions}
        until(lambda: self._ask("POST", f"{path}/rollouts", body).status == 201, "it is rolled out")

    def _ask(self, method: str, path: str, body: object) -> Answer:
        return self.host.inside(lambda: self.plane.ask(method, path, body))

    def presence(self, site: Site) -> str:
        """As the control plane sees it."""
        return str(self.want("GET", f"{BASE}/agents/{site.name}")["presence"])

    def alerts(self, site: Site, code: str, state: str = "") -> int:
        """How often it was reported to the control plane, in alerts that are in this state."""
        narrowed = f"&state={state}" if state else ""
        found = self.want("GET", f"{BASE}/alerts?vault={site.name}&limit=500{narrowed}")
        return sum(row["count"] for row in found if row["code"] == code)

    def taken(self, site: Site) -> tuple[bytes, int]:
        """How far it has taken the agent's stream, by its own database."""
        with closing(sqlite3.connect(f"file:{self.folder}/control.db?mode=ro", uri=True)) as db:
            query = "SELECT peer, applied FROM links WHERE vault = ?"
            stream, applied = db.execute(query, [site.name]).fetchone()
            return bytes(stream), int(applied)

    def settled(self, site: Site) -> None:
        """On line again, and each side has exactly what the other gave it."""
        until(lambda: site.state == "online", f"{site.name} is on line")
        until(lambda: self.presence(site) == "online", f"{site.name} is seen on line")
        until(lambda: self._level(site), f"{site.name} has nothing left to tell")
        # A heartbeat of a sealed agent reports it, too, unless it is on record already.
        assert self.alerts(site, "sealed") >= site.seals
        until(lambda: not self.alerts(site, "sealed", "open"), f"{site.name} is seen unsealed")
        policy = f"{BASE}/agents/{site.name}/policy"
        if self.versions:
            until(lambda: self._in_force(policy), f"{site.name} has the newest policy")

    def _level(self, site: Site) -> bool:
        """Its metrics go on: what counts is that nothing older than a moment waits."""
        stream, applied = self.taken(site)
        outbox = site.outbox
        assert applied <= outbox.newest
        return stream == outbox.stream and outbox.newest - applied <= 1

    def _in_force(self, path: str) -> bool:
        found = self._ask("GET", path, None)
        if found.status != HTTPStatus.OK or found.json["policies"] != {"readers": self.versions}:
            return False  # its bundle is signed behind the answer to the roll-out
        row = found.json
        return bool(row["outcome"] == "applied" and row["applied_version"] == row["bundle_version"])


@contextmanager
def estate(*names: str) -> Iterator[tuple[Estate, list[Site]]]:
    """All of it running, every site enrolled and on line; gone after the block."""
    with ExitStack() as stack:
        folder = stack.enter_context(own_folder())
        control, *others = stack.enter_context(hosts("control", *names))
        (folder / "control").mkdir()
        whole = Estate(folder / "control", control)
        stack.callback(whole.plane.stop)
        whole.start()
        sites = []
        for number, (name, host) in enumerate(zip(names, others, strict=True)):
            here, there = f"10.99.{number}.1", f"10.99.{number}.2"
            device = f"{DEVICE}{number}"
            wire = Wire(host.plug(DEVICE, there, here), control.plug(device, here, there), number)
            stack.callback(wire.close)
            (folder / name).mkdir()
            site = Site(name, host, wire, folder / name, here)
            stack.callback(site.agent.stop)
            whole.admit(site)
            site.start()
            sites.append(site)
        for site in sites:
            whole.settled(site)
        yield whole, sites
