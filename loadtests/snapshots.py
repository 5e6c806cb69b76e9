"""Backups of Freehold beside OpenBao's raft snapshots: `make bench-snapshots` (SECRETS=20000).

The same secrets in both: a backup and a snapshot, each restored into something new that is then
started, unsealed and asked for one secret. CPU and memory of servers and commands. One after the
other, each server alone; writes docs/benchmarks/backups.md.
"""

import argparse
import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Final

from loadtests import process
from loadtests.agent_process import FREEHOLD, Agent, await_open, served_agent
from loadtests.api import READY_WITHIN
from loadtests.backups import CLIENTS, VALUE, make_agent, name, settings, step, store, write_config
from loadtests.backups import listed as listed_backups
from loadtests.machine import describe_machine, sentence
from loadtests.markdown import table
from loadtests.servers import OpenBao, Server, bao_command, running_servers, scratch_folder

HEAD: Final = (
    "", "server: CPU, s", "server: most RSS, MiB", "command: CPU, s", "command: most RSS, MiB",
    "wall, s", "load average",
)  # fmt: skip
PAGE: Final = """\
# Backups beside OpenBao's raft snapshots

Written by `make bench-snapshots` (`SECRETS={secrets}`). {secrets:,} secrets of {size} bytes in
each server, one version of each, KV v2. OpenBao: one node with raft in a folder, TLS, a file
audit device; `bao operator raft snapshot save`, then `snapshot restore -force` into a new
cluster. Freehold: SQLite, one worker, a key file, no TLS, a file audit log; a full backup into a
folder, then `freehold backup restore --keep-tokens` into an empty database. **One run of each**:
CPU (user and system) is the figure to look at; wall time is what other work on the machine left
of it (load average at the step's beginning).

**Not the same work.**

- OpenBao copies its database: the rows stay sealed under the cluster's own keys, and the snapshot
  opens with the unseal key of the old cluster. Freehold reads every row, encrypts the backup
  again under a key of its own, and signs a manifest. Its backup goes into any kind of database,
  whole or in part, and its restore checks every chunk and the totals of the rows before the first
  is written.
- `freehold backup prove` (restored into an empty store, totals compared, a sample decrypted, a
  signed certificate) is one step more; `bao operator raft snapshot` has none, and a
  snapshot is only known to restore once it was restored.
- OpenBao's server restores, so its memory counts with it, and it maps its database file: RSS
  contains pages of that file. Freehold's restore is a command, and no agent runs meanwhile.
  *First read* is what follows: OpenBao is unsealed with the old key; an agent is started on the
  restored database.
- RSS of several processes is added up, and shared pages count in each.

Machine: {machine}

{rows}

Size: {sizes}. The start of a process is in every command's figures.
"""


@dataclass(frozen=True)
class Step:
    """What a step took; CPU in seconds, memory in bytes, 0 where no such process took part."""

    name: str
    server_cpu: float
    server_peak: int
    command_cpu: float
    command_peak: int
    wall: float
    load: float

    def row(self) -> list[str]:
        """Its cells."""
        server, command = (self.server_peak >> 20, self.command_peak >> 20)
        return [
            self.name,
            f"{self.server_cpu:.2f}" if server else "",
            f"{server}" if server else "",
            f"{self.command_cpu:.2f}" if command else "",
            f"{command}" if command else "",
            f"{self.wall:.1f}",
            f"{self.load:.1f}",
        ]


class Watch:
    """Watches a step of a server (`pid`; 0: there is none yet) and of commands."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.pid = 0
        self._cpu_before = 0.0
        self._command_cpu = 0.0
        self._command_peak = 0
        self._begun = time.monotonic()
        self._load = os.getloadavg()[0]

    def begin_server(self, pid: int) -> None:
        """The server runs already: what it did before this does not count."""
        process.reset_peak(pid)
        self.pid, self._cpu_before = pid, process.cpu_seconds(pid)

    def run(self, *words: str, environment: Mapping[str, str] | None = None) -> None:
        """A command to its end. Raises `RuntimeError` when it fails."""
        with subprocess.Popen(  # noqa: S603  # our own command
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        ) as running:  # fmt: skip
            said = b"" if running.stderr is None else running.stderr.read()
            _, status, usage = os.wait4(running.pid, 0)
            running.returncode = os.waitstatus_to_exitcode(status)
        if running.returncode:
            raise RuntimeError(f"{self.title}: {said.decode(errors='replace')[-2000:]}")
        self._command_cpu += usage.ru_utime + usage.ru_stime
        self._command_peak = max(self._command_peak, usage.ru_maxrss << 10)

    def end(self) -> Step:
        """What it took until now."""
        wall = time.monotonic() - self._begun
        cpu = process.cpu_seconds(self.pid) - self._cpu_before if self.pid else 0.0
        memory = process.peak(self.pid) if self.pid else 0
        return Step(
            self.title, cpu, memory, self._command_cpu, self._command_peak, wall, self._load
        )


@dataclass(frozen=True)
class Measured:
    """Of one server: its steps, and the bytes of its backup."""

    steps: list[Step]
    size: int


def measure_openbao(folder: Path, secrets: int) -> Measured:
    """Fill, save, restore into a new cluster, read."""
    source, target = OpenBao(folder / "bao"), OpenBao(folder / "bao-restored")
    snapshot = folder / "snapshot"
    with running_servers(source, target):
        source.folder.mkdir()
        source.set_up()
        fill(source, secrets)
        saving = Watch("OpenBao: save")
        saving.begin_server(source.pid)
        saving.run(bao_command(), *SAVE, str(snapshot), environment=environment(source))
        saved = saving.end()
        source.stop()
        target.folder.mkdir()
        target.cluster_port = source.cluster_port  # the snapshot names it
        target.audit_log = source.audit_log  # OpenBao refuses another file than the snapshot's
        target.set_up()
        restoring = Watch("OpenBao: restore")
        restoring.begin_server(target.pid)
        restoring.run(bao_command(), *RESTORE, str(snapshot), environment=environment(target))
        restored = restoring.end()
        reading = Watch("OpenBao: first read")
        reading.begin_server(target.pid)
        target.unseal_key, target.token = source.unseal_key, source.token
        await_sealed(target)
        target.unseal()
        found = target.api().call("GET", f"/v1/{data_path(secrets - 1)}")["data"]["data"]
        read = reading.end()
        require_value(found)
    return Measured([saved, restored, read], snapshot.stat().st_size)


SAVE: Final = ("operator", "raft", "snapshot", "save")
RESTORE: Final = ("operator", "raft", "snapshot", "restore", "-force")


def environment(server: Server) -> dict[str, str]:
    """Of a command that works on it."""
    return {
        "BAO_ADDR": server.base,
        "BAO_CACERT": str(server.ca),
        "BAO_TOKEN": server.root_token,
        "BAO_CLIENT_TIMEOUT": "600",
    }


def fill(server: Server, secrets: int) -> None:
    """Write the secrets, several clients at once."""
    tls = ssl.create_default_context(cafile=str(server.ca))
    body = json.dumps({"data": {"value": VALUE}})
    headers = {"X-Vault-Token": server.token, "Content-Type": "application/json"}

    def write(first: int) -> None:
        connection = HTTPSConnection("127.0.0.1", server.port, timeout=60, context=tls)
        for number in range(first, secrets, CLIENTS):
            connection.request("POST", f"/v1/{data_path(number)}", body, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status >= 300:  # noqa: PLR2004  # not a success
                raise RuntimeError(f"{server.name}: {answer.status}: {said[:500]!r}")
        connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in pool.map(write, range(CLIENTS)):
            pass


def data_path(number: int) -> str:
    """Of a secret in the API of KV v2."""
    mount, _, path = name(number).partition("/")
    return f"{mount}/data/{path}"


def await_sealed(server: Server) -> None:
    """OpenBao seals itself once the keys of another cluster are in its store."""
    end = time.monotonic() + READY_WITHIN
    while not server.api("").call("GET", "/v1/sys/seal-status")["sealed"]:
        if time.monotonic() > end:
            raise TimeoutError(f"{server.name} is not sealed after the restore")
        time.sleep(0.02)


def require_value(found: object) -> None:
    """Raises `RuntimeError` for a secret that is not what was stored."""
    if found != {"value": VALUE}:
        raise RuntimeError(f"restored something else: {found!r}")


def measure_freehold(folder: Path, secrets: int) -> Measured:
    """Fill, back up, restore into an empty database, read, prove."""
    key, target = folder / "root.key", folder / "target"
    agent = make_agent(folder, "sqlite", f"sqlite:///{folder}/vault.db", 1)
    with started(agent) as pid:
        store(agent, secrets)
        creating = Watch("Freehold: create, full")
        creating.begin_server(pid)
        step(agent, "create, full", "POST", "/api/v1/backups", {"full": True})
        created = creating.end()
        made = listed_backups(agent)[0]
    target.mkdir()
    url = f"sqlite:///{target}/restored.db"
    config = write_config(target, "sqlite", url, key, 1)
    place = (str(folder / "backups"), str(made["id"]), "--config", str(config))
    restoring = Watch("Freehold: restore")
    restoring.run(FREEHOLD, "backup", "restore", *place, "--keep-tokens", "--reason", "measured")
    restored = restoring.end()
    reading = Watch("Freehold: first read")
    again = served_agent(target, settings(target, "sqlite", url, key, 1))
    again.token = agent.token
    with started(again) as pid:
        await_open(again)
        found = again.call("GET", f"/v1/{data_path(secrets - 1)}").json["data"]["data"]
        reading.pid = pid
        read = reading.end()
        require_value(found)
    work = folder / "proof"
    work.mkdir()
    proving = Watch("Freehold: prove")
    proving.run(FREEHOLD, "backup", "prove", *place, "--work-dir", str(work))
    return Measured([created, restored, read, proving.end()], int(made["bytes"]))


@contextmanager
def started(agent: Agent) -> Iterator[int]:
    """It runs for the length of the block: its process."""
    agent.start()
    try:
        if agent.process is None:
            raise RuntimeError("the agent does not run")
        yield agent.process.pid
    finally:
        agent.stop()


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--secrets", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"), help="folder")
    asked = parser.parse_args()
    with scratch_folder() as scratch:
        scratch.chmod(0o755)
        machine = sentence(describe_machine(scratch))
        bao = measure_openbao(scratch, asked.secrets)
        print(table(HEAD, [each.row() for each in bao.steps]), flush=True)
        own = scratch / "freehold"
        own.mkdir(mode=0o755)
        freehold = measure_freehold(own, asked.secrets)
    rows = table(HEAD, [each.row() for each in (*bao.steps, *freehold.steps)])
    sizes = f"snapshot {bao.size / 1e6:.1f} MB, backup {freehold.size / 1e6:.1f} MB"
    page = PAGE.format(
        secrets=asked.secrets, size=len(VALUE), machine=machine, rows=rows, sizes=sizes
    )
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "backups.md").write_text(page)
    print(f"\n{rows}\n\n{sizes}", flush=True)


if __name__ == "__main__":
    main()
