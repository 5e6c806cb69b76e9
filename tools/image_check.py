"""Runs the images that `tools/image.sh` has built, as a user would, and says what each step took.

    python -m tools.image_check [--tag TAG] [--old TAG] [--quick]

`--old`: the first start is of this version of the agent, and the upgrade is to TAG. `--quick`:
first start, health and stop alone, as for the images of another processor. PODMAN_OPTIONS: what
`podman run` needs on this machine. Needs podman and root; everything that it makes, it removes.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NAME: Final = "freehold-image-check"
PORT: Final = 18_271
CONFIG: Final = "/etc/freehold/vault.yaml"
HARDENED: Final = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
VOLUMES: Final = {
    "config": "/etc/freehold",
    "data": "/var/lib/freehold",
    "anchor": "/var/lib/freehold-anchor",
    "key": "/var/lib/freehold-key",
    "logs": "/var/log/freehold",
}
PATIENCE: Final = 180.0  # seconds for a container to listen: under qemu on a busy machine
STOP: Final = 30  # seconds that a container has to stop by itself
USER: Final = "10001"


class CheckError(Exception):
    """An image does not do what it is for."""


def podman(*words: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run it; raises `CheckError` with what it said."""
    environment = {**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}
    done = subprocess.run(
        ["podman", *words],
        check=False, capture_output=True, text=True, input=stdin, timeout=300, env=environment,
    )  # fmt: skip
    if check and done.returncode:
        raise CheckError(f"podman {shlex.join(words)}: exit {done.returncode}: {done.stderr}")
    return done


def require(truth: object, what: str) -> None:
    """Raise `CheckError` unless it is so."""
    if not truth:
        raise CheckError(what)


class Agent:
    """One agent's container and volumes; the image may change between two starts."""

    def __init__(self, image: str, options: list[str]) -> None:
        self.image = image
        self._options = options

    def run(self, *words: str, image: str = "", stdin: str = "") -> str:
        """A command in a container that ends with it; its output."""
        run = ["run", "--rm", *(["--interactive"] if stdin else []), *self._usual()]
        return podman(*run, image or self.image, *words, stdin=stdin).stdout

    def start(self) -> None:
        """Until it is healthy."""
        podman("run", "--detach", "--name", NAME, *self._usual(), self.image)
        end = time.monotonic() + PATIENCE
        while self.health() != 0:
            if time.monotonic() > end:
                raise CheckError(f"it is not healthy: {podman('logs', NAME).stderr}")
            time.sleep(0.2)

    def health(self, *more: str) -> int:
        """The exit code of the image's own health check."""
        words = ("exec", NAME, "freehold", "agent", "health", "--config", CONFIG, *more)
        return podman(*words, check=False).returncode

    def stop(self) -> None:
        """By SIGTERM, in time, with exit code 0."""
        podman("stop", "--time", str(STOP), NAME)
        code = podman("inspect", NAME, "--format", "{{.State.ExitCode}}").stdout.strip()
        require(code == "0", f"it ended with {code} at SIGTERM: {podman('logs', NAME).stderr}")
        podman("rm", NAME)

    def _usual(self) -> list[str]:
        volumes = [word for name, place in VOLUMES.items()
                   for word in ("--volume", f"{NAME}-{name}:{place}")]  # fmt: skip
        return [*self._options, *HARDENED, *volumes]


class Client:
    """The command line's image, which knows the agent's authority and nothing else of it."""

    def __init__(self, image: str, options: list[str]) -> None:
        self._image = image
        self._options = options
        self.token = ""

    def call(self, *words: str, stdin: str = "") -> str:
        """What a command prints."""
        given = {
            "FREEHOLD_ADDR": f"https://localhost:{PORT}",
            "FREEHOLD_CACERT": "/ca/tls/ca.crt",
            "FREEHOLD_TOKEN": self.token,
        }
        environment = [
            word for name, value in given.items() for word in ("--env", f"{name}={value}")
        ]
        run = ["run", "--rm", *self._options, *HARDENED, *environment]
        return podman(
            *run, "-i", "-v", f"{NAME}-config:/ca:ro", self._image, *words, stdin=stdin
        ).stdout  # fmt: skip

    def secret(self) -> str:
        """The one that was stored."""
        return self.call("secret", "get", "secret/app/db", "--raw").strip()


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print what it took."""
    begun = time.monotonic()
    yield
    print(f"{time.monotonic() - begun:6.1f} s  {name}", flush=True)


def check_form(image: str) -> None:
    """An ordinary user by number, a health check, and no shell."""
    [found] = json.loads(podman("image", "inspect", image).stdout)
    require(found["User"].partition(":")[0] == USER, f"{image} runs as {found['User']!r}")
    if "freehold-cli" not in image:
        require(
            found.get("HealthCheck") or found.get("Healthcheck"), f"{image} has no health check"
        )
    print(f"          {image}: {found['Size'] / 1e6:.0f} MB")


def check_confined() -> None:
    """What the processes of the container may do."""
    read = "import pathlib; print(pathlib.Path('/proc/1/status').read_text())"
    lines = podman("exec", NAME, "python3", "-c", read).stdout.splitlines()
    status = dict(
        line.split(":\t") for line in lines
        if ":\t" in line
    )  # fmt: skip
    require(set(status["Uid"].split()) == {USER}, f"user {status['Uid']}")
    require(int(status["CapEff"], 16) == 0, f"capabilities {status['CapEff']}")
    write = podman("exec", NAME, "python3", "-c", "open('/opt/x', 'w')", check=False)
    require("Read-only file system" in write.stderr, f"the root can be written: {write.stderr}")
    shell = podman("exec", NAME, "/bin/sh", "-c", "true", check=False)
    require(shell.returncode != 0, "there is a shell")


def clean() -> None:
    """Nothing of this stays."""
    podman("rm", "--force", "--time", "1", NAME, check=False)
    for name in VOLUMES:
        podman("volume", "rm", "--force", f"{NAME}-{name}", check=False)


def whole_life(agent: Agent, client: Client, new: str) -> None:
    """From an empty machine to an upgraded agent that has its secret."""
    with step("first run: agent init, on empty volumes"):
        agent.run(
            "agent",
            "init",
            "--config",
            CONFIG,
            "--name",
            "localhost",
            "--listen",
            f"0.0.0.0:{PORT}",
        )
    with step("first start, until healthy (sealed, not initialized)"):
        agent.start()
    require(agent.health("--ready") != 0, "a sealed agent says that it is ready")
    with step("read-only root, no capabilities, no shell"):
        check_confined()
    with step("operator init, unseal with two of three shares, over TLS"):
        made = json.loads(
            client.call("operator", "init", "--shares", "3", "--threshold", "2", "-o", "json")
        )
        client.token = made["root_token"]
        unseal(client, made)
    require(agent.health("--ready") == 0, "an open agent says that it is not ready")
    with step("first secret written and read"):
        client.call("mount", "create", "secret")
        client.call("secret", "put", "secret/app/db", stdin="s3cret")
        require(client.secret() == "s3cret", "another secret came back")
    with step("SIGTERM: answers end, the audit log is signed, exit code 0"):
        agent.stop()
    with step("audit verify"):
        agent.run("audit", "verify", "--log", "/var/log/freehold/audit.log")
    with step("restart: sealed and healthy; unsealed, the secret is there"):
        agent.start()
        unseal(client, made)
        require(client.secret() == "s3cret", "the secret is gone after a restart")
        agent.stop()
    with step(f"upgrade {agent.image} → {new}"):
        agent.image = new
        agent.start()
        unseal(client, made)
        require(client.secret() == "s3cret", "the secret is gone after an upgrade")
        doctor = podman("exec", NAME, "freehold", "doctor", "--config", CONFIG, "-o", "json").stdout
        bad = [found for found in json.loads(doctor) if found["severity"] == "error"]
        require(not bad, f"doctor: {bad}")
        agent.stop()


def unseal(client: Client, made: dict[str, list[str]]) -> None:
    """With two shares."""
    for share in made["shares"][:2]:
        client.call("operator", "unseal", stdin=share)


def short_life(agent: Agent) -> None:
    """First start, health, stop."""
    with step("first run: agent init, on empty volumes"):
        agent.run(
            "agent",
            "init",
            "--config",
            CONFIG,
            "--name",
            "localhost",
            "--listen",
            f"0.0.0.0:{PORT}",
        )
    with step("first start, until healthy"):
        agent.start()
    with step("SIGTERM, exit code 0"):
        agent.stop()


def main() -> int:
    """Run the steps; 1: one failed, and which."""
    version = next(
        line.split('"')[1] for line in Path("pyproject.toml").read_text().splitlines()
        if line.startswith("version = ")
    )  # fmt: skip
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", default=f"{version}-{machine}")
    parser.add_argument("--old", default="")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    options = shlex.split(os.environ.get("PODMAN_OPTIONS", "--network host"))
    new = f"localhost/freehold-agent:{given.tag}"
    clean()
    try:
        agent = Agent(f"localhost/freehold-agent:{given.old or given.tag}", options)
        check_form(new)
        if given.quick:
            short_life(agent)
        else:
            for name in ("control", "cli"):
                check_form(f"localhost/freehold-{name}:{given.tag}")
            whole_life(agent, Client(f"localhost/freehold-cli:{given.tag}", options), new)
    except CheckError as failure:
        print(f"image-check: {failure}", file=sys.stderr)
        return 1
    finally:
        clean()
    return 0


if __name__ == "__main__":
    sys.exit(main())
