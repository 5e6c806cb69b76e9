"""Checks Terraform, CloudFormation, Packer, cloud-init and Ansible by linters and by use.

    python -m tools.iac_check [--tools BIN] [--folder FOLDER] [--only STEP]

`--tools`: where cfn-lint, checkov, ansible-playbook are (requirements/iac.txt). `--folder`: where
the Debian, the wheels and the chroots are kept. `--only`: lint, image or ansible. The last two need
root, debootstrap and loop devices: they install into chroots, mount disks and run the agent there,
each in a mount namespace of its own, so that nothing stays mounted.
"""

import argparse
import filecmp
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Final

import yaml

ROOT: Final = Path(__file__).parents[1]
SUITE: Final = "trixie"
PYTHON: Final = "3.13"  # of that suite
PACKAGES: Final = "python3,python3-venv,ca-certificates,systemd"
PORT: Final = 18_281
CONFIG: Final = "/etc/freehold/vault.yaml"
STEPS: Final = ("lint", "image", "ansible")
OFFLINE: Final = {"SYSTEMD_OFFLINE": "1", "PIP_CERT": ""}
"""In a chroot: there is no manager of units to talk to, and no file of this machine's."""
PATIENCE: Final = 60.0  # seconds for an agent to listen
UID: Final = "10001"
BUILD: Final = "/tmp/freehold"  # noqa: S108  # where deploy/packer uploads to, on a machine of its own
UNITS: Final = "/run/mount-units"
MOUNTS: Final = (
    "/etc/freehold/tls",
    "/var/log/freehold",
    "/var/lib/freehold",
    "/var/lib/freehold-anchor",
    "/srv/freehold",
)
VALUES: Final = {
    "key": "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    "region": "eu-central-1",
    "bucket": "example-backups",
    "prefix": "agents/freehold",
    "lock_days": "30",
}
FAULTS: Final = {
    'http_tokens                 = "required"': 'http_tokens = "optional"',
    "encrypted         = true": "encrypted         = false",
    "restrict_public_buckets = true": "restrict_public_buckets = false",
}
"""What checkov must find in the module for AWS: else its silence says nothing."""


class CheckError(Exception):
    """Something does not do what it is for."""


def run(
    *words: str | Path, check: bool = True, stdin: str = "", cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run it; raises `CheckError` with what it said."""
    done = subprocess.run(
        [str(word) for word in words],
        check=False, capture_output=True, text=True, input=stdin, cwd=cwd, timeout=1200,
        env={**os.environ, **environment},
    )  # fmt: skip
    if check and done.returncode:
        said = f"{done.stdout}\n{done.stderr}"[-4000:]
        raise CheckError(f"{' '.join(map(str, words))}: exit {done.returncode}: {said}")
    return done


def require(truth: object, what: str) -> None:
    """Raise `CheckError` unless it is so."""
    if not truth:
        raise CheckError(what)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Print what it took."""
    begun = time.monotonic()
    yield
    print(f"{time.monotonic() - begun:6.1f} s  {name}", flush=True)


# --- other people's linters


def lint(tools: Path, folder: Path) -> None:
    """cfn-lint, checkov with planted faults, ansible's own syntax check, shell."""
    stack = ROOT / "deploy/cloudformation/agent.yaml"
    with step("cfn-lint: deploy/cloudformation"):
        run(tools / "cfn-lint", stack)
    for framework, place in (("terraform", ROOT / "deploy/terraform"), ("cloudformation", stack)):
        begun = time.monotonic()
        passed, failed, skipped = checkov(tools, framework, place)
        took = time.monotonic() - begun
        print(
            f"{took:6.1f} s  checkov: {framework}: {passed} passed, {skipped} skipped with a reason"
        )
        require(not failed, f"checkov: {framework}: {failed}")
    with step(f"checkov finds {len(FAULTS)} planted faults"):
        planted = folder / "planted"
        for old, new in FAULTS.items():
            shutil.rmtree(planted, ignore_errors=True)
            shutil.copytree(ROOT / "deploy/terraform/aws", planted)
            text = (planted / "main.tf").read_text()
            require(old in text, f"the module for AWS has no line {old!r}")
            (planted / "main.tf").write_text(text.replace(old, new))
            require(checkov(tools, "terraform", planted)[1], f"checkov does not mind {new!r}")
        shutil.rmtree(planted)
    with step("ansible-playbook --syntax-check"):
        run(
            tools / "ansible-playbook", "--syntax-check", "-i", "localhost,",
            ROOT / "deploy/ansible/site.yml",
        )  # fmt: skip
    with step("sh -n: deploy/cloud-init"):
        for script in sorted((ROOT / "deploy/cloud-init").glob("*.sh")):
            run("sh", "-n", script)


def checkov(tools: Path, framework: str, place: Path) -> tuple[int, list[str], int]:
    """How many checks passed, which failed, how many are skipped."""
    done = run(
        tools / "checkov", "--framework", framework, "--output", "json", "--quiet",
        "--skip-download", "--file" if place.is_file() else "--directory", place, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout)
    summary = found["summary"]
    require(summary["passed"] > 0 and not summary["parsing_errors"], f"checkov: {summary}")
    failed = [
        f"{each['check_id']} {each['resource']}" for each in found["results"]["failed_checks"]
    ]
    return summary["passed"], failed, summary["skipped"]


# --- a Debian, the wheel and what it needs


def prepare(folder: Path) -> None:
    """Once: a Debian by debootstrap, wheels for its Python. Each time: the agent's own wheel."""
    base = folder / "base"
    if not (base / "etc/debian_version").exists():
        require(shutil.which("debootstrap"), "needs debootstrap: sudo apt-get install debootstrap")
        with step(f"debootstrap {SUITE}"):
            shutil.rmtree(base, ignore_errors=True)
            run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, base)
    wheels, locked = folder / "wheels", ROOT / "requirements/base.txt"
    if not (wheels / locked.name).exists() or not filecmp.cmp(wheels / locked.name, locked):
        with step("wheels of requirements/base.txt"):
            shutil.rmtree(wheels, ignore_errors=True)
            run(
                sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes",
                "--only-binary=:all:", "--python-version", PYTHON,
                "--requirement", locked, "--dest", wheels,
            )  # fmt: skip
            shutil.copy(locked, wheels)
    with step("pip wheel"):
        for old in (folder / "dist", ROOT / "build/lib"):
            shutil.rmtree(old, ignore_errors=True)
        run(
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
            "--wheel-dir", folder / "dist", ROOT,
        )  # fmt: skip


class Chroot:
    """A copy of the Debian with what a program needs to run in it; ours to be thrown away."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        shutil.rmtree(self.path, ignore_errors=True)
        run("cp", "--archive", "--reflink=auto", folder / "base", self.path)
        for file in ("resolv.conf", "hosts"):
            shutil.copy(f"/etc/{file}", self.path / "etc" / file)
        wheels = self.path / "srv/wheels"
        wheels.mkdir(parents=True)
        run("mount", "-t", "proc", "proc", self.path / "proc")
        run("mount", "--rbind", "/dev", self.path / "dev")
        run("mount", "--bind", folder / "wheels", wheels)

    def run(
        self, *words: str, check: bool = True, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """A command in it, as root."""
        return run("chroot", self.path, *words, check=check, stdin=stdin, **OFFLINE, **environment)

    @contextmanager
    def agent(self) -> Iterator[None]:
        """The agent of its unit's command line, as its user, until it listens; ended by SIGTERM."""
        unit = (self.path / "etc/systemd/system/freehold-agent.service").read_text()
        [line] = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
        log = self.path / "tmp/agent.log"
        with log.open("w") as out, subprocess.Popen(
            ["chroot", "--userspec=freehold:freehold", self.path, *line.partition("=")[2].split()],
            stdout=out, stderr=out,
        ) as process:  # fmt: skip
            try:
                end = time.monotonic() + PATIENCE
                while self.health() != 0:
                    if process.poll() is not None or time.monotonic() > end:
                        raise CheckError(f"the agent does not listen: {log.read_text()[-3000:]}")
                    time.sleep(0.2)
                yield
            finally:
                process.terminate()
                process.wait(30)
        require(process.returncode == 0, f"the agent ended with {process.returncode}")

    def health(self) -> int:
        """The exit code of `freehold agent health`."""
        return self.run("freehold", "agent", "health", "--config", CONFIG, check=False).returncode

    def call(self, *words: str, stdin: str = "", token: str = "") -> str:
        """What `freehold` prints, over TLS, by the authority that `agent init` has made."""
        return self.run(
            "freehold", *words, stdin=stdin, FREEHOLD_ADDR=f"https://localhost:{PORT}",
            FREEHOLD_CACERT="/etc/freehold/tls/ca.crt", FREEHOLD_TOKEN=token,
        ).stdout  # fmt: skip

    def doctor(self) -> list[str]:
        """The errors that `freehold doctor` finds."""
        done = self.run("freehold", "doctor", "--config", CONFIG, "-o", "json", check=False)
        return [str(each) for each in json.loads(done.stdout) if each["severity"] == "error"]

    def owner(self, path: str) -> str:
        """Owner and mode."""
        return self.run("stat", "--format", "%u %a", path).stdout.strip()


# --- an image of deploy/packer, and its first boot


def image(_tools: Path, folder: Path) -> None:
    """install.sh as Packer runs it, then clean.sh, then first boots with disks."""
    chroot = Chroot(folder, "image")
    place = chroot.path / BUILD.lstrip("/")
    shutil.copytree(ROOT / "deploy", place / "deploy")
    (place / "requirements").mkdir()
    shutil.copy(ROOT / "requirements/base.txt", place / "requirements")
    [wheel] = (folder / "dist").glob("freehold-*.whl")
    shutil.copy(wheel, place)
    scripts = f"{BUILD}/deploy/cloud-init"
    with step("install.sh, in a chroot"):
        chroot.run(
            "sh", f"{scripts}/install.sh", f"{BUILD}/{wheel.name}",
            PIP_NO_INDEX="1", PIP_FIND_LINKS="/srv/wheels",
        )  # fmt: skip
    chroot.run("sh", f"{scripts}/clean.sh")
    require(not place.exists(), "clean.sh leaves the build's files")
    with disk(folder, "data") as data, disk(folder, "anchor") as anchor:
        try:
            first_boots(chroot, data, anchor)
            with disk(folder, "strange") as strange:
                refuse_a_strange_disk(chroot, strange, anchor)
        finally:
            unmount(chroot)


def first_boots(chroot: Chroot, data: str, anchor: str) -> None:
    """With blank disks; then with the same disks, as under another image."""
    words = ("freehold-first-boot", "--data", data, "--anchor", anchor, "--name", "localhost")
    settings = Template((ROOT / "deploy/cloud-init/vault-aws.yaml.tftpl").read_text())
    text = settings.substitute(VALUES).replace("0.0.0.0:8200", f"127.0.0.1:{PORT}")
    config = chroot.path / CONFIG.lstrip("/")
    config.write_text(text)
    with step("freehold-first-boot, two blank disks, settings of AWS"):
        chroot.run(*words)
    for path in ("/var/lib/freehold", "/var/log/freehold", "/var/lib/freehold-anchor"):
        require(chroot.owner(path) == f"{UID} 700", f"{path}: {chroot.owner(path)}")
    for path in MOUNTS:
        chroot.run("mountpoint", path)
    enabled = chroot.run("systemctl", "is-enabled", "freehold-agent").stdout
    require(enabled == "enabled\n", f"the unit is {enabled!r}")
    check_mount_units(chroot)
    authority = chroot.path / "etc/freehold/tls/ca.crt"
    first = authority.read_bytes()
    # Shares in place of a cloud that is not here.
    plain = yaml.safe_load(text)
    plain["encryption"] = {"key_management": "shamir"}
    plain["backup"] = {"enabled": False}
    config.write_text(yaml.safe_dump(plain))
    with step("agent on these disks: init, unseal, first secret over TLS"), chroot.agent():
        made = initialize(chroot)
    with step("the same disks under a new machine: mounted, not formatted; the secret is there"):
        unmount(chroot)
        (chroot.path / "etc/fstab").write_text("")
        chroot.run(*words)
        require(authority.read_bytes() == first, "there is another authority")
        with chroot.agent():
            chroot.call("operator", "unseal", stdin=made["shares"][0])
            read_again(chroot, str(made["root_token"]))
    require(not chroot.doctor(), f"doctor: {chroot.doctor()}")


def check_mount_units(chroot: Chroot) -> None:
    """What systemd makes of /etc/fstab at the next boot: a unit each, folders after their disk."""
    with step("systemd reads the mounts"):
        chroot.run("mkdir", UNITS)
        chroot.run("/usr/lib/systemd/system-generators/systemd-fstab-generator", *[UNITS] * 3)
        for path in MOUNTS:
            name = chroot.run("systemd-escape", "--path", "--suffix=mount", path).stdout.strip()
            unit = (chroot.path / UNITS.lstrip("/") / name).read_text()
            bound = "Type=none" in unit
            require(bound == ("RequiresMountsFor=/srv/freehold" in unit), f"{name}: {unit}")


def refuse_a_strange_disk(chroot: Chroot, strange: str, anchor: str) -> None:
    """One with a partition table: nothing is written to it."""
    with step("a disk of somebody else is refused, and left as it is"):
        device = Path(strange)
        with device.open("r+b") as file:
            file.write(b"\0" * 510 + b"\x55\xaa")
        before = device.read_bytes()
        done = chroot.run(
            "freehold-first-boot", "--data", strange, "--anchor", anchor, "--name", "localhost",
            check=False,
        )  # fmt: skip
        require(done.returncode and "nothing was changed" in done.stderr, done.stderr)
        require(device.read_bytes() == before, "the disk was written to")


def unmount(chroot: Chroot) -> None:
    """What the first boot has mounted, from the inside out."""
    for path in MOUNTS:
        chroot.run("umount", path, check=False)


@contextmanager
def disk(folder: Path, name: str) -> Iterator[str]:
    """A blank disk: a loop device's path."""
    file = folder / f"{name}.img"
    file.write_bytes(b"")
    os.truncate(file, 256 << 20)
    device = run("losetup", "--find", "--show", file).stdout.strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device, check=False)
        file.unlink()


def initialize(chroot: Chroot) -> dict[str, list[str]]:
    """One share, unseal, a first secret, read again; the answer of init."""
    made: dict[str, list[str]] = json.loads(
        chroot.call("operator", "init", "--shares", "1", "--threshold", "1", "-o", "json")
    )
    token = str(made["root_token"])
    chroot.call("operator", "unseal", stdin=made["shares"][0])
    chroot.call("mount", "create", "secret", token=token)
    chroot.call("secret", "put", "secret/app/db", stdin="s3cret", token=token)
    read_again(chroot, token)
    return made


def read_again(chroot: Chroot, token: str) -> None:
    """The secret that was written."""
    found = chroot.call("secret", "get", "secret/app/db", "--raw", token=token)
    require(found.strip() == "s3cret", "another secret came back")


# --- Ansible


def ansible(tools: Path, folder: Path) -> None:
    """The role on a bare Debian, twice: then nothing changes. Then its agent."""
    chroot = Chroot(folder, "ansible")
    [wheel] = (folder / "dist").glob("freehold-*.whl")
    given = {
        "freehold_agent_wheel": str(wheel),
        "freehold_agent_wheelhouse": "/srv/wheels",
        "freehold_agent_names": ["localhost"],
        "freehold_agent_start": False,
        "freehold_agent_rotator": True,
        "freehold_agent_settings": {
            "server": {"listen": f"127.0.0.1:{PORT}",
                       "tls": {"cert_file": "/etc/freehold/tls/server.crt",
                               "key_file": "/etc/freehold/tls/server.key"}},
            "storage": {"connection_string": "sqlite:////var/lib/freehold/vault.db"},
            "audit": {"log_file": "/var/log/freehold/audit.log"},
            "anchor": {"file": "/var/lib/freehold-anchor/vault.anchor"},
        },
    }  # fmt: skip
    inventory = folder / "inventory.json"
    host = {"ansible_connection": "community.general.chroot",
            "ansible_python_interpreter": "/usr/bin/python3"}  # fmt: skip
    groups = {"freehold_agents": {"hosts": {str(chroot.path): host}}}
    inventory.write_text(json.dumps(groups))
    words = [tools / "ansible-playbook", "-i", inventory, ROOT / "deploy/ansible/site.yml",
             "--extra-vars", json.dumps(given)]  # fmt: skip
    with step("ansible-playbook, in a chroot"):
        done = playbook(words)
    tasks = done.stdout.count("\nTASK [")
    require("changed=0" not in done.stdout, f"nothing was changed:\n{done.stdout}")
    with step(f"once more: {tasks} tasks, nothing changes"):
        done = playbook(words)
        require("changed=0" in done.stdout, f"something was changed:\n{done.stdout}")
    with step("its agent: init, unseal, first secret over TLS, doctor"), chroot.agent():
        initialize(chroot)
        require(not chroot.doctor(), f"doctor: {chroot.doctor()}")
    for unit in ("freehold-agent.service", "freehold-rotator.socket"):
        require(chroot.run("systemctl", "is-enabled", unit).stdout == "enabled\n", unit)


def playbook(words: list[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run it, without colours and cows."""
    return run(*words, ANSIBLE_NOCOLOR="1", ANSIBLE_NOCOWS="1", LC_ALL="C.UTF-8", **OFFLINE)


RUN: Final[dict[str, Callable[[Path, Path], None]]] = {
    "lint": lint,
    "image": image,
    "ansible": ansible,
}


def main() -> int:
    """Run the steps; 1: one failed, and which."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=Path, default=ROOT / ".iac/venv/bin")
    parser.add_argument("--folder", type=Path, default=ROOT / ".iac")
    parser.add_argument("--only", choices=STEPS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    tools, folder = given.tools.absolute(), given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [given.only] if given.only else list(STEPS)
    try:
        if given.inside:
            RUN[given.only](tools, folder)
            return 0
        if set(wanted) & {"image", "ansible"}:
            require(os.geteuid() == 0, "chroots need root: `--only lint` needs none")
            prepare(folder)
        if "lint" in wanted:
            lint(tools, folder)
    except CheckError as failure:
        print(f"iac-check: {failure}", file=sys.stderr)
        return 1
    for name in wanted:
        if name != "lint":
            again = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m",
                     "tools.iac_check", "--inside", "--only", name, "--tools", str(tools),
                     "--folder", str(folder)]  # fmt: skip
            if code := subprocess.run(again, check=False, cwd=ROOT).returncode:
                return code
            shutil.rmtree(folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
