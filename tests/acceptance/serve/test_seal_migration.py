"""The root key moves to another seal while agents serve, and survives kill -9 at any moment."""

import os
import subprocess
import threading
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.command import freehold
from tests.acceptance.serve.test_hsm import put, reads, status
from tests.acceptance.serve.test_several_key_providers import configure
from tests.acceptance.workers.waiting import await_true
from tests.support.databases import Server
from tests.support.transit import BAO

SECRET = "/v1/secret/data/a"
MIGRATION = "/api/v1/system/seal-migration"


def shamir_agent(folder: Path, workers: int = 1, **sections: Any) -> Agent:
    """Not started."""
    folder.mkdir(exist_ok=True)
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers}
    return served_agent(folder, {"server": server, "encryption": {}, **sections})


def initialize(agent: Agent) -> list[str]:
    """Three shares, two of which unseal; it is open, and there is a secret."""
    made = put(agent, "/v1/sys/init", {"secret_shares": 3, "secret_threshold": 2})
    agent.token = made["root_token"]
    shares: list[str] = made["keys_base64"]
    unseal(agent, *shares[:2])
    mount = {"type": "kv", "options": {"version": "2"}}
    assert agent.call("POST", "/v1/sys/mounts/secret", mount).status == 204
    assert agent.call("POST", SECRET, {"data": {"a": 1}}).status == 200
    return shares


def unseal(agent: Agent, *shares: str, **more: Any) -> Any:
    """What the last share is answered."""
    for share in shares:
        told = put(agent, "/v1/sys/unseal", {"key": share, **more}, token="")
    return told


def disk(folder: Path, name: str) -> dict[str, Any]:
    """A provider that has its keys in a file."""
    return {"name": name, "key_file": str(folder / f"{name}.keys")}


def restart(agent: Agent, **encryption: Any) -> None:
    """With another section."""
    agent.stop()
    configure(agent, **encryption)
    agent.start()


def test_shares_to_a_provider_to_a_file_to_shares(folder: Path) -> None:
    """By `bao`, by the command, and by the API; what is read meanwhile is there."""
    agent = shamir_agent(folder / "a")
    one, two = disk(folder, "one"), disk(folder, "two")
    with running(agent):
        shares = initialize(agent)
        restart(agent, key_management="providers", providers=[one, two])
        assert (status(agent)["migration"], status(agent)["sealed"]) == (True, True)
        for share in shares[:2]:
            done = subprocess.run(
                [BAO, "operator", "unseal", "-migrate", share],
                env={"PATH": os.environ["PATH"], "HOME": str(folder),
                     "BAO_ADDR": f"http://127.0.0.1:{agent.port}"},
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        told = status(agent)
        assert (told["type"], told["migration"], told["recovery_seal"]) == (
            "multiseal",
            False,
            True,
        )
        assert reads(agent)
        file = str(folder / "a" / "root.key")
        former = {"providers": [one, two]}
        restart(agent, key_management="file", key_file=file, migrate_from=former)
        assert (status(agent)["migration"], status(agent)["sealed"]) == (True, False)
        for share in shares[1:]:
            done = freehold(
                "operator", "migrate-seal",
                environment={"FREEHOLD_ADDR": f"http://127.0.0.1:{agent.port}",
                             "FREEHOLD_TOKEN": agent.token},
                stdin=share,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        assert reads(agent)
        assert status(agent)["type"] == "file"
        restart(agent, key_management="file", key_file=file)
        assert reads(agent)
        restart(agent, migrate_from={"key_file": file})
        assert reads(agent)
        key = Path(file).read_bytes().hex()
        assert agent.call("POST", MIGRATION, {"key": "00" * 32}).status == 400
        assert agent.call("POST", MIGRATION, {"key": key}, token="").status == 401
        done_ = agent.call("POST", MIGRATION, {"key": key})
        assert (done_.status, done_.json["complete"], done_.json["target"]) == (200, True, "shamir")
        restart(agent)
        assert status(agent)["sealed"]
        assert not unseal(agent, key)["sealed"]
        assert reads(agent)
        assert agent.stop() == 0
        assert agent.verify().returncode == 0


def test_an_agent_that_is_killed_while_it_migrates_opens_by_either(folder: Path) -> None:
    """To and fro: each start opens the vault, by the seal that is in force, without anybody."""
    agent = shamir_agent(folder / "a")
    providers = [disk(folder, "one"), disk(folder, "two")]
    with running(agent):
        shares = initialize(agent)
        restart(agent, key_management="providers", providers=providers[:1])
        unseal(agent, *shares[:2], migrate=True)
        for turn, seconds in enumerate((0.0, 0.2, 0.4)):
            new, old = providers[(turn + 1) % 2], providers[turn % 2]
            restart(
                agent, key_management="providers", providers=[new],
                migrate_from={"providers": [old]},
            )  # fmt: skip
            agent.call("POST", MIGRATION, {"key": shares[0]})
            killer = threading.Timer(seconds, agent.kill)
            killer.start()
            with suppress(OSError, HTTPException):
                agent.call("POST", MIGRATION, {"key": shares[1]})
            killer.join()
            agent.start()
            assert reads(agent)
            if status(agent)["migration"]:
                for share in shares[:2]:
                    assert agent.call("POST", MIGRATION, {"key": share}).status == 200
            assert not status(agent)["migration"]


def test_two_agents_on_one_database_migrate(postgresql_server: Server, folder: Path) -> None:
    """One is asked; the other opens itself by the new seal. Nothing that was written is lost."""
    storage = {"type": "postgresql", "connection_string": postgresql_server.empty()}
    one, two = (shamir_agent(folder / name, 2, storage=storage) for name in "ab")
    provider = disk(folder, "both")
    with running(one):
        shares = initialize(one)
        restart(one, key_management="providers", providers=[provider])
        unseal(one, *shares[:2])
        assert reads(one)
        two.token = one.token
        with running(two):
            restart(two, key_management="providers", providers=[provider])
            unseal(two, *shares[:2])
            assert reads(two)
            for share in shares[:2]:
                told = unseal(two, share, migrate=True)
            assert not told["migration"]
            assert two.call("POST", SECRET, {"data": {"a": 2}}).status == 200
            await_true(lambda: not status(one)["migration"] and not status(one)["sealed"])
            assert one.call("GET", SECRET).json["data"]["data"] == {"a": 2}
            assert one.call("POST", SECRET, {"data": {"a": 3}}).status == 200
            assert reads(two)
