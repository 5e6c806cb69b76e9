"""Both kinds on PostgreSQL beside their own storage, and three agents behind HAProxy.

Each has a PostgreSQL server of its own with the same settings, which stands still with it.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from loadtests import h2load, process
from loadtests.api import VaultApi
from loadtests.bench.measure import compare, print_progress
from loadtests.bench.plan import SMALL, Profile, login_load, read_load, write_load
from loadtests.bench.results import Comparison, Results
from loadtests.database_servers import PostgresqlServer
from loadtests.load import data_path
from loadtests.servers import Freehold, OpenBao, Server, running_servers

STORED: Final = 1_000
AGENTS: Final = 3
SETTINGS: Final = "-c shared_buffers=128MB"
"""PostgreSQL's default; all others are defaults, too."""
RAFT, BAO = "OpenBao", "OpenBao on PostgreSQL"
SQLITE, ONE, THREE = "Freehold", "Freehold on PostgreSQL", "3 agents on PostgreSQL, HAProxy"
NAMES: Final = (RAFT, BAO, SQLITE, ONE, THREE)
LOADS: Final = (
    read_load(),
    read_load(http=2, connections=8, streams=8),
    write_load(),
    write_load(http=2, connections=8, streams=8),
    login_load(),
)
NOTE: Final = "The rows on PostgreSQL are of another run: {} rounds of {} s. {}"
SETTLED_SECONDS: Final = 5.0
"""After a pause the first heartbeat may be an old one, and a node is silent until the next."""
_BALANCER: Final = "127.0.0.5"  # its connections come from here, those of the set-up do not
_DEPLOYED: Final = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"


class OpenBaoOnPostgresql(OpenBao):
    """Its storage `postgresql`, which makes its tables itself."""

    def __init__(self, folder: Path, database: PostgresqlServer) -> None:
        super().__init__(folder, name=BAO)
        self.database = database
        self._place = database.make_database()

    def storage(self) -> str:
        """See `OpenBao`."""
        socket = self.database.folder if self.database else ""
        url = f"postgres://postgres@/{self._place}?host={socket}&sslmode=disable"
        return f'storage "postgresql" {{ connection_url = "{url}" }}'


class FreeholdOnPostgresql(Freehold):
    """An agent whose store is a database of the server."""

    settled_after = SETTLED_SECONDS

    def __init__(self, folder: Path, url: str, *, name: str = ONE, **options: int) -> None:
        """`url`: of the database."""
        super().__init__(folder, name=name, durability="write", **options)
        self._url = url

    def storage(self) -> str:
        """See `Freehold`."""
        return f'type: postgresql, connection_string: "{self._url}"'


class BalancedAgents(Server):
    """Agents of one process each behind HAProxy, by the file under `deploy`; HAProxy is `pid`."""

    kind = "Freehold"
    settled_after = SETTLED_SECONDS

    def __init__(self, folder: Path, database: PostgresqlServer) -> None:
        super().__init__(folder, name=THREE)
        self.database = database
        url = database.empty()
        self.agents: list[Freehold] = []
        for number in range(1, AGENTS + 1):
            (folder / f"agent-{number}").mkdir()
            agent = FreeholdOnPostgresql(folder / f"agent-{number}", url, workers=1)
            agent.proxies = [_BALANCER]
            self.agents.append(agent)

    def set_up(self) -> "BalancedAgents":
        """The first agent initialises; the others have its certificate and are unsealed."""
        first, *others = self.agents
        first.set_up()
        for agent in others:
            for file in ("ca.pem", "server.pem"):
                shutil.copy(first.folder / file, agent.folder / file)
            agent.start()
            agent.unseal_key, agent.token = first.unseal_key, first.token
            agent.unseal()
        shutil.copy(first.folder / "ca.pem", self.ca)
        self.token, self.root_token = first.token, first.root_token
        self.start()
        self.api().wait_active()
        return self

    def command(self) -> list[str]:
        """HAProxy in the foreground."""
        replaced = {
            f"10.0.0.1{number}:8200": f"127.0.0.1:{agent.port} source {_BALANCER}"
            for number, agent in enumerate(self.agents, 1)
        } | {
            "/etc/haproxy/freehold-ca.crt": str(self.ca),
            "/dev/log": f"{self.folder}/log.sock",
            "/run/haproxy/admin.sock": f"{self.folder}/admin.sock",
            "maxconn 20000": "maxconn 2000",
            "bind :8200": f"bind 127.0.0.1:{self.port}",
            "vault.example.com": "localhost",
            "    user haproxy\n    group haproxy\n": "",
        }
        text = _DEPLOYED.read_text()
        for old, new in replaced.items():
            if old not in text:
                raise ValueError(f"{_DEPLOYED} has no {old!r}")
            text = text.replace(old, new)
        config = self.folder / "haproxy.cfg"
        config.write_text(text)
        return ["haproxy", "-f", str(config), "-db"]

    def allow(self, api: VaultApi) -> None:
        """The first agent has written it."""

    def stop(self) -> None:
        """HAProxy and the agents."""
        super().stop()
        for agent in self.agents:
            agent.stop()

    def pause(self) -> None:
        """See `Server`."""
        super().pause()
        for agent in self.agents:
            agent.pause()

    def resume(self) -> None:
        """See `Server`."""
        for agent in self.agents:
            agent.resume()
        super().resume()

    def cpu_seconds(self) -> float:
        """Of the agents."""
        return sum(agent.cpu_seconds() for agent in self.agents)

    def beside_seconds(self) -> dict[str, float]:
        """See `Server`."""
        return super().beside_seconds() | {"HAProxy": process.cpu_seconds(self.pid)}

    def count_records(self) -> int:
        """Of all agents."""
        return sum(agent.count_records() for agent in self.agents)


def run_databases(folder: Path, profile: Profile, results: Results) -> None:
    """Measure `LOADS` on all of them, which take turns."""
    folder.chmod(0o711)  # PostgreSQL runs as another user
    print_progress(f"\non PostgreSQL, {STORED:,} secrets stored")
    with ExitStack() as stack:
        databases = [stack.enter_context(_postgresql(folder, number)) for number in range(3)]
        servers: list[Server] = [
            OpenBao(_own(folder, "raft"), name=RAFT),
            OpenBaoOnPostgresql(_own(folder, "bao-pg"), databases[0]),
            Freehold(_own(folder, "sqlite"), name=SQLITE, durability="write"),
            FreeholdOnPostgresql(_own(folder, "one-pg"), databases[1].empty()),
            BalancedAgents(_own(folder, "three-pg"), databases[2]),
        ]
        servers[3].database = databases[1]
        stack.enter_context(running_servers(*servers))
        for server in servers:
            server.set_up()
            h2load.seed(server, [data_path(SMALL, i) for i in range(STORED)], 100)
        for load in LOADS:
            row = Comparison(STORED, load)
            compare(row, servers, servers, seconds=profile.seconds, rounds=profile.rounds)
            results.on_postgresql.append(row)
            _print(row)


def _print(row: Comparison) -> None:
    print_progress(f"  {row.label}, {row.load.client}")
    for name in NAMES:
        rate = row.rate(name)
        said = f"void: {row.void.get(name)}"
        if rate:
            beside = "".join(f"  {what} {us:.0f} us" for what, us in row.beside(name).items())
            said = f"{rate:9,.0f}/s  p99 {row.p99(name):7.1f} ms  CPU {row.cpu(name):6.0f} us"
            said += beside
        print_progress(f"    {name:32} {said}")


def _own(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


@contextmanager
def _postgresql(folder: Path, number: int) -> Iterator[PostgresqlServer]:
    server = PostgresqlServer(_own(folder, f"postgresql-{number}"))
    server.create()
    server.start(SETTINGS)
    try:
        yield server
    finally:
        server.stop()
