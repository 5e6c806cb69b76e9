"""A disaster is played on an agent, and the commands of the page are followed."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.acceptance.agent import Agent, served_agent
from tests.acceptance.command import FREEHOLD
from tests.support.backup_servers import LOCKED_BUCKET
from tests.support.polling import await_value

ROOT: Final = Path(__file__).parents[3]
PAGE: Final = ROOT / "docs/guides/disaster-recovery.md"
PREFIX: Final = "agents/host-7"
YEARLY: Final = "0 0 1 1 *"
PATIENCE: Final = 90.0
ANY: Final = -1
"""The code of a command that has to fail."""
VALUE: Final = "a-value-that-nobody-may-find"
NAME: Final = "a-name-that-nobody-may-find"


def commands(section: str) -> list[str]:
    """The commands of a section of the page, in order."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = [line for block in re.findall(r"```\n(.*?)```", text, re.DOTALL)
             for line in block.splitlines()]  # fmt: skip
    assert found, f"the page has no commands under {section}"
    return found


def until(found: Callable[[], Any], what: str) -> Any:
    """What it is, once it is so."""
    return await_value(found, PATIENCE, what)


@dataclass
class Drill:
    """One machine: an agent in a folder, and where the page's paths are here.

    `backups`: the folder of its backups; `bucket`: of `backup_servers.s3`, if it has one.
    """

    folder: Path
    agent: Agent
    bucket: Mapping[str, Any] = field(default_factory=dict)
    shares: list[str] = field(default_factory=list)

    @property
    def backups(self) -> Path:
        """The folder of its backups."""
        return self.folder / "backups"

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.agent.folder / "vault.yaml"

    def follow(self, section: str, *, backup: str = "", stdin: str = "", code: int = 0) -> str:
        """Type the commands of a section; all that they printed. The last one ends with `code`."""
        output, lines = "", commands(section)
        for line in lines:
            words = shlex.split(line)
            if words[0] == "systemctl":
                self.agent.stop() if words[1] == "stop" else self.agent.start()
                continue
            done = self.type(line, backup=backup, stdin=stdin)
            expected = code if line == lines[-1] else 0
            is_expected = done.returncode == expected or (expected == ANY and done.returncode > 0)
            assert is_expected, (line, done.stdout, done.stderr)
            assert "Traceback" not in done.stderr
            output += done.stdout + done.stderr
        return output

    def type(
        self, line: str, *, backup: str = "", stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """One command, in a shell."""
        places = {
            "/etc/freehold/vault.yaml": f"{self.config}",
            "/backup/freehold": f"{self.backups}",
            "/var/lib/freehold": f"{self.agent.folder}",
            "/media/safe": f"{self.folder}/safe",
            "/restore": f"{self.folder}/restore",
            "example-backups": LOCKED_BUCKET,
        }
        for name, place in places.items():
            line = line.replace(name, place)
        line = re.sub(r"\bID\b", backup or "ID", line)
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            input=stdin,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            cwd=ROOT,
        )

    def environment(self) -> dict[str, str]:
        """For the shell: `freehold` and `aws`, and who is asked."""
        programs = self.folder / "programs"
        programs.mkdir(exist_ok=True)
        script = programs / "aws"
        script.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}" '
            f'exec {sys.executable} -m tests.acceptance.drills.aws "$@"\n'
        )
        script.chmod(0o755)
        found = {
            "PATH": f"{programs}:{Path(FREEHOLD).parent}:{os.environ['PATH']}",
            "HOME": f"{self.folder}",
            "FREEHOLD_ADDR": self.agent.address,
            "FREEHOLD_TOKEN": self.agent.token,
        }
        if self.bucket:
            key, secret = credentials(self.bucket["admin"])
            found |= {
                "AWS_ENDPOINT_URL": self.bucket["endpoint"],
                "AWS_ACCESS_KEY_ID": key,
                "AWS_SECRET_ACCESS_KEY": secret,
            }
        return found

    def fill(self, *, shares: int = 1, threshold: int = 1) -> None:
        """Make the vault of the running agent, with a secret and a user who has two keys."""
        asked = {"secret_shares": shares, "secret_threshold": threshold}
        made = self.want("PUT", "/v1/sys/init", asked)
        self.agent.token, self.shares = made["root_token"], made["keys"]
        self.unseal()
        mount = {"type": "kv", "options": {"version": "2"}}
        self.want("POST", "/v1/sys/mounts/secret", mount)
        self.write(NAME, VALUE)
        rule = {"effect": "allow", "paths": ["secret/*"], "capabilities": ["read"]}
        self.want("PUT", "/api/v1/policies/reader", {"rules": [rule]})
        self.want("POST", "/api/v1/users", {"username": "ann", "policies": ["reader"]})

    def unseal(self) -> None:
        """By its shares, as many as it takes."""
        for share in self.shares:
            if not self.agent.call("GET", "/v1/sys/seal-status").json["sealed"]:
                return
            self.want("PUT", "/v1/sys/unseal", {"key": share})

    def make_key(self, name: str) -> dict[str, str]:
        """An API key of the user."""
        made: dict[str, str] = self.want("POST", "/api/v1/keys", {"user": "ann", "name": name})
        return made

    def write(self, name: str, value: str) -> None:
        """A version of a secret."""
        self.want("POST", f"/v1/secret/data/{name}", {"data": {"value": value}})

    def read(self, name: str, *, token: str | None = None) -> str:
        """Its value, or the status of the refusal."""
        answer = self.agent.call("GET", f"/v1/secret/data/{name}", token=token)
        return str(answer.json["data"]["data"]["value"] if answer.status == 200 else answer.status)

    def want(self, method: str, path: str, body: object = None) -> Any:
        """What a request is answered that has to succeed."""
        answer = self.agent.call(method, path, body)
        assert answer.status in {200, 201, 202, 204}, answer
        return answer.json

    def events(self, operation: str) -> list[Any]:
        """Of the audit log, the newest first."""
        found = self.want("GET", f"/api/v1/audit/events?operation={operation}")
        listed: list[Any] = found["events"]
        return listed

    def scheduled(self, count: int = 1) -> list[Any]:
        """The backups, once the schedule has made so many and nothing runs any more."""

        def look() -> Any:
            page = self.want("GET", "/api/v1/backups")
            runs = self.want("GET", "/api/v1/backups/runs")["runs"]
            is_over = all(run["outcome"] != "running" for run in runs)
            return page["backups"] if is_over and len(page["backups"]) >= count else None

        found: list[Any] = until(look, "backups by the schedule")
        return found

    def back_up(self, *, full: bool = False) -> dict[str, Any]:
        """One at each destination; the first result."""
        run = self.want("POST", "/api/v1/backups", {"full": full})
        path = f"/api/v1/backups/runs/{run['id']}"

        def look() -> Any:
            found = self.want("GET", path)
            return found if found["outcome"] != "running" else None

        ended = until(look, "the end of the backup")
        assert ended["outcome"] == "succeeded", ended
        result: dict[str, Any] = ended["results"][0]
        return result

    def lose_database(self) -> None:
        """The file, behind the agent's back."""
        for file in self.agent.folder.glob("vault.db*"):
            file.unlink()

    def new_root_token(self, output: str) -> None:
        """Use the token that `generate-root` has printed."""
        (self.agent.token,) = re.findall(r"\b(?:hvs|fh|s)[._][A-Za-z0-9._-]{20,}", output)[-1:]


def make_drill(folder: Path, name: str = "machine", **sections: Any) -> Drill:
    """A machine whose agent has its backups in a folder, and its key in a file."""
    home = folder / name
    home.mkdir(parents=True, exist_ok=True)
    backup = {"destinations": [{"type": "local", "path": f"{folder}/backups"}]}
    config = {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1},
        "encryption": {"key_management": "file", "key_file": f"{home}/root.key"},
        "backup": backup,
        **sections,
    }
    return Drill(folder, served_agent(home, config))


def in_bucket(server: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The section of a destination in the bucket that has object lock."""
    known = {name: str(server[name]) for name in ("type", "endpoint", "region", "credentials_file")}
    return {**known, "bucket": LOCKED_BUCKET, "prefix": PREFIX, **more}


def credentials(file: Path) -> tuple[str, str]:
    """Key and secret of a file like `~/.aws/credentials`."""
    lines = dict(line.split(" = ") for line in file.read_text().splitlines()[1:])
    return lines["aws_access_key_id"], lines["aws_secret_access_key"]


def printed(done: subprocess.CompletedProcess[str]) -> Any:
    """What a command that has succeeded has printed, in JSON."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
