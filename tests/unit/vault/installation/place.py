"""An installation that is in order, to plant faults in."""

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from actors.testing import FakeWorld
from protocols.instant import SECOND
from tests.newest import place_vault
from vault.crypto.break_glass import BreakGlassRecord, BreakGlassSet
from vault.installation.doctor import examine
from vault.installation.finding import Finding
from vault.installation.first_run import FirstRun, make_certificate, prepare
from vault.installation.machine import Machine, User
from vault.seal.seal_record import SealRecord

NOW = 1_900_000_000 * SECOND
NAME = "vault.example.com"
SERVICE = 64_321
"""A user who is nobody else; where the tests are not root's, the agent is theirs."""
DISK = "30 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw"


class Usage(NamedTuple):
    """Of a disk, in bytes."""

    total: int
    free: int


def service_user() -> User:
    """Whom the agent runs as."""
    if os.geteuid() != 0:
        return User.current()
    return User("freehold", SERVICE, SERVICE, frozenset({SERVICE}))


@dataclass
class Place:
    """`world` has a clock that stands still; `machine` is a good one, with a disk that is large."""

    folder: Path
    world: FakeWorld
    machine: Machine
    run: FirstRun
    port: int
    names: tuple[str, ...] = (NAME,)

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.run.config

    def change(self, **sections: dict[str, Any]) -> None:
        """Put these keys into sections of the configuration."""
        found = yaml.safe_load(self.config.read_text())
        for name, keys in sections.items():
            found.setdefault(name, {})
            for key, value in keys.items():
                if isinstance(value, dict):
                    found[name].setdefault(key, {})
                    found[name][key] |= value
                else:
                    found[name][key] = value
        self.config.write_text(yaml.safe_dump(found))

    def on(self, **other: Any) -> None:
        """Another machine in these respects."""
        self.machine = replace(self.machine, **other)

    def findings(self) -> tuple[Finding, ...]:
        """What the doctor says."""
        return examine(self.config, self.machine, names=self.names, environment={})

    def codes(self) -> set[str]:
        """Of the findings."""
        return {found.code for found in self.findings()}

    def query(self, statement: str, *values: object) -> None:
        """Run it in the database."""
        with sqlite3.connect(self.run.data / "vault.db") as database:
            database.execute(statement, values)
        database.close()
        self.own()

    def store(self, name: str, value: bytes) -> None:
        """Put a row of the system table there."""
        self.query("INSERT OR REPLACE INTO system (name, value) VALUES (?, ?)", name, value)

    def own(self) -> None:
        """All files of the agent belong to it, and are old."""
        for path in (*self.run.data.iterdir(), *self.run.anchor.iterdir(), *self.run.key.iterdir()):
            if os.geteuid() == 0:
                os.chown(path, self.run.user.uid, self.run.user.gid)
            os.utime(path, ns=(NOW, NOW))


def break_glass(uses: int = 0) -> BreakGlassRecord:
    """Of a set that has opened the vault so often."""
    made = BreakGlassSet(
        id="0a1b2c3d",
        shares=5,
        threshold=3,
        public_key=bytes(32),
        sealed=bytes(80),
        made_at=NOW,
        made_by="root",
        uses=uses,
    )
    return BreakGlassRecord(org="local", vault="v", in_force=made, uses=uses)


def make_place(folder: Path, port: int) -> Place:
    """A vault that unseals by itself, initialized, stopped, with backups to another disk."""
    folder.chmod(0o755)
    world, user = FakeWorld(NOW), service_user()
    run = FirstRun(
        config=folder / "vault.yaml",
        user=user,
        names=(NAME, "127.0.0.1"),
        listen=f"127.0.0.1:{port}",
        data=folder / "data",
        logs=folder / "logs",
        key_file=True,
        web=False,
    )
    prepare(run)
    make_certificate(run.tls / "server.crt", run.tls / "server.key", run.names, run.user, world)
    machine = Machine(
        user=user,
        world=world,
        usage=lambda _: Usage(1 << 40, 1 << 39),
        mounts=lambda: DISK,
        open_files=lambda _: 65_536,
        lock_holder=lambda _: None,
        is_synchronized=lambda: True,
        has_randomness=lambda: True,
        has_process_handles=lambda: True,
        memory=lambda: 4 << 30,
        units=(folder / "units",),
        syslog=folder,
    )
    place = Place(folder, world, machine, run, port)
    place_vault(run.data)
    (run.anchor / "vault.anchor").touch(mode=0o600)
    (run.key / "root.key").write_bytes(bytes(32))
    (run.key / "root.key").chmod(0o600)
    record = SealRecord(type="file", shares=1, threshold=1, org="local", vault="v", created_at=NOW)
    place.store("seal", record.encode())
    place.store("break_glass", break_glass().encode())
    elsewhere = {"type": "sftp", "host": "b.example", "user": "f", "path": "/b"}
    files = {"key_file": "backup.key", "known_hosts_file": "known"}
    place.change(backup={"enabled": True, "destinations": [elsewhere | files]})
    key = folder / "backup.key"
    key.touch(mode=0o600)
    if os.geteuid() == 0:
        os.chown(key, user.uid, user.gid)
    return place


Plant = Callable[[Place], None]
