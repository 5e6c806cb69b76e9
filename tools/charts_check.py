"""Runs the pods of the Helm charts with `podman kube play`, as near to Kubernetes as it goes.

    python -m tools.charts_check [--tag TAG]

Rendered are an agent with a key file, a control plane with its setup before it, and an operator
that has no API server. Volumes are as
a kubelet gives them: root's, for the group 10001 to write. What podman has no likeness of is left
out: probes (asked by hand), limits, topology, and the group of Secrets' files. Needs the images of
`make image`, podman, catatonit and root; everything that it makes, it removes. PODMAN: the command,
with the options that it needs on this machine.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import certifi
import yaml

HELM: Final = Path(sys.prefix, "share/helm/helm")
RELEASE: Final = "charts-check"
PODMAN: Final = shlex.split(os.environ.get("PODMAN", "podman"))
GROUP: Final = 10_001
PATIENCE: Final = 120.0  # seconds for a pod to be as it should
MIN_PASSWORD: Final = 12  # characters
PYTHON: Final = "/opt/freehold/bin/python"
DROPPED: Final = (
    "serviceAccountName", "automountServiceAccountToken", "topologySpreadConstraints",
    "enableServiceLinks",
)  # fmt: skip

Object = dict[str, Any]


class CheckError(Exception):
    """A pod does not do what it is for."""


def require(truth: object, what: str) -> None:
    """Raise `CheckError` unless it is so."""
    if not truth:
        raise CheckError(what)


def run(*words: str | Path, stdin: str = "", check: bool = True) -> str:
    """What it prints, for `logs` on both streams. Raises `CheckError` with that."""
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, input=stdin, timeout=300,
        env={**os.environ, "PODMAN_IGNORE_CGROUPSV1_WARNING": "1"},
    )  # fmt: skip
    if check and done.returncode:
        raise CheckError(f"{' '.join(map(str, words[:8]))} …: {done.stdout}{done.stderr}")
    return done.stdout + (done.stderr if "logs" in words else "")


def podman(*words: str, stdin: str = "", check: bool = True) -> str:
    """As `run`."""
    return run(*PODMAN, *words, stdin=stdin, check=check)


def render(program: str, tag: str, *more: str) -> list[Object]:
    """The chart's objects."""
    text = run(
        HELM, "template", RELEASE, f"deploy/helm/freehold-{program}", "--kube-version", "1.37.0",
        "--set", f"image.tag={tag}", *more,
    )  # fmt: skip
    return [each for each in yaml.safe_load_all(text) if each]


class Pod:
    """One pod of a chart, its claims as volumes of podman."""

    def __init__(self, objects: list[Object], kind: str) -> None:
        self._given = [each for each in objects if each["kind"] in {"ConfigMap", "Secret"}]
        owner = next(each for each in objects if each["kind"] == kind)
        template = owner["spec"]["template"]
        self._spec: Object = {
            key: value for key, value in template["spec"].items() if key not in DROPPED
        }
        self.name = f"{owner['metadata']['name']}-0"
        [container] = self._spec["containers"]
        self.container = f"{self.name}-{container['name']}"
        for key in [key for key in container if key.endswith("Probe") or key == "resources"]:
            del container[key]
        for volume in self._spec["volumes"]:  # podman gives their files to root alone
            if "secret" in volume:
                volume["secret"]["defaultMode"] = 0o444
        for claim in owner["spec"].get("volumeClaimTemplates", []):
            name = claim["metadata"]["name"]
            source = {"claimName": f"{name}-{self.name}"}
            self._spec["volumes"].append({"name": name, "persistentVolumeClaim": source})

    @property
    def claims(self) -> list[str]:
        """The volumes that stay."""
        found = [each.get("persistentVolumeClaim") for each in self._spec["volumes"]]
        return [each["claimName"] for each in found if each]

    def mount(self, secret: str, folder: str) -> None:
        """The Secret's files, as a kubelet mounts those of the service account."""
        volume = {"name": secret, "secret": {"secretName": secret, "defaultMode": 0o444}}
        self._spec["volumes"].append(volume)
        [container] = self._spec["containers"]
        container["volumeMounts"].append({"name": secret, "mountPath": folder, "readOnly": True})

    def set(self, variable: str, value: str) -> None:
        """An environment variable."""
        [container] = self._spec["containers"]
        container.setdefault("env", []).append({"name": variable, "value": value})

    def play(self) -> None:
        """Start it."""
        for claim in self.claims:
            self._make(claim)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name},
               "spec": {**self._spec, "restartPolicy": "Never"}}  # fmt: skip
        podman("kube", "play", "--network", "none", "-",
            stdin=yaml.safe_dump_all([*self._given, pod]))  # fmt: skip

    def stop(self) -> None:
        """By SIGTERM, with exit code 0; the claims stay."""
        podman("pod", "stop", "--time", "60", self.name)
        self._require_success()
        podman("pod", "rm", self.name)

    def wait(self) -> str:
        """For its end, with exit code 0; the log."""
        podman("wait", self.container)
        self._require_success()
        log = self.log()
        podman("pod", "rm", "--force", self.name)
        return log

    def call(self, *words: str, stdin: str = "", environment: str = "") -> str:
        """What a command inside prints."""
        given = ("--env", environment) if environment else ()
        return podman("exec", "-i", *given, self.container, *words, stdin=stdin)

    def log(self) -> str:
        """Both streams."""
        return podman("logs", self.container, check=False)

    def clean(self) -> None:
        """Nothing of it stays."""
        podman("pod", "rm", "--force", "--time", "1", self.name, check=False)
        for claim in self.claims:
            podman("volume", "rm", "--force", claim, check=False)
        for each in self._given:
            for kind in ("volume", "secret"):  # podman makes of a Secret both
                podman(kind, "rm", each["metadata"]["name"], check=False)

    def _make(self, claim: str) -> None:
        """A new volume as a kubelet gives it to the pod: drwxrws---, root's, the group's."""
        if claim in podman("volume", "ls", "--quiet").split():
            return
        podman("volume", "create", claim)
        folder = Path(podman("volume", "inspect", claim, "--format", "{{.Mountpoint}}").strip())
        # A disk has it, and podman gives a volume that is not empty to nobody.
        (folder / "lost+found").mkdir(mode=0o700)
        os.chown(folder, 0, GROUP)
        folder.chmod(0o2770)

    def _require_success(self) -> None:
        code = podman("inspect", self.container, "--format", "{{.State.ExitCode}}").strip()
        require(code == "0", f"{self.container} ended with {code}: {self.log()}")


def step(name: str, act: Callable[[], object]) -> None:
    """Do it, and print what it took."""
    begun = time.monotonic()
    act()
    print(f"{time.monotonic() - begun:6.1f} s  {name}", flush=True)


def succeeds(pod: Pod, *words: str) -> bool:
    """Whether a command inside does."""
    try:
        pod.call(*words)
    except CheckError:
        return False
    return True


def until(pod: Pod, *words: str) -> None:
    """A command inside succeeds. Raises `CheckError` if it does not in time."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            pod.call(*words)
        except CheckError as failure:
            if time.monotonic() > end:
                raise CheckError(f"{failure}\n{pod.log()}") from None
            time.sleep(0.5)
        else:
            return


def check_agent(tag: str) -> None:
    """Initialize, write, stop, start again: it unseals itself, and has its secret."""
    pod = Pod(
        render("agent", tag, "--set", "settings.encryption.key_management=file"), "StatefulSet"
    )
    health = ("freehold", "agent", "health", "--config", "/etc/freehold/vault.yaml")
    pod.clean()
    try:
        step("agent: start, alive", lambda: (pod.play(), until(pod, *health)))
        look = "import os; s = os.stat('/var/lib/freehold'); print(s.st_uid, oct(s.st_mode))"
        require(pod.call(PYTHON, "-c", look).split() == ["0", "0o42770"], "podman took the volume")
        made = json.loads(pod.call("freehold", "operator", "init", "-o", "json"))
        token = f"FREEHOLD_TOKEN={made['root_token']}"
        step("agent: initialized, ready", lambda: until(pod, *health, "--ready"))
        pod.call("freehold", "mount", "create", "secret", environment=token)
        put = ("freehold", "secret", "put", "secret/app/db")
        pod.call(*put, stdin="s3cret", environment=token)
        step("agent: SIGTERM, exit code 0", pod.stop)
        step("agent: start, unsealed by itself",
             lambda: (pod.play(), until(pod, *health, "--ready")))  # fmt: skip
        get = ("freehold", "secret", "get", "secret/app/db", "--raw")
        require(pod.call(*get, environment=token).strip() == "s3cret", "another secret came back")
        write = "try:\n open('/opt/x', 'w')\nexcept OSError as error:\n print(error.strerror)"
        require("Read-only" in pod.call(PYTHON, "-c", write), "the root file system can be written")
        pod.call(PYTHON, "-c", "import os; os.kill(1, 1)")
        step("agent: alive after SIGHUP", lambda: until(pod, *health, "--ready"))
        pod.stop()
    finally:
        pod.clean()


def check_control(tag: str) -> None:
    """Setup, start, health, the password; stop."""
    setup = Pod(render("control", tag, "--set", "setup.enabled=true"), "Job")
    pod = Pod(render("control", tag), "StatefulSet")
    health = ("freehold", "control", "health", "--ready", "--config", "/etc/freehold/control.yaml")
    pod.clean()
    setup.clean()
    try:
        logs: list[str] = []
        step("control: setup", lambda: (setup.play(), logs.append(setup.wait())))
        require(re.search(r"pin +sha256:", logs[0]), f"no pin in the setup's log: {logs[0]}")
        step("control: start, ready", lambda: (pod.play(), until(pod, *health)))
        show = "print(open('/var/lib/freehold-control/password').read())"
        require(
            len(pod.call(PYTHON, "-c", show).strip()) >= MIN_PASSWORD, "there is no first password"
        )
        step("control: SIGTERM, exit code 0", pod.stop)
    finally:
        pod.clean()
        setup.clean()


def check_operator(tag: str) -> None:
    """Start, alive, not ready for want of an API server; stop."""
    name = f"{RELEASE}-account"
    files = {"token": "none", "ca.crt": Path(certifi.where()).read_text(), "namespace": "default"}
    account = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
               "stringData": files}  # fmt: skip
    pod = Pod([*render("operator", tag), account], "Deployment")
    pod.mount(name, "/var/run/secrets/kubernetes.io/serviceaccount")
    pod.set("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    health = ("freehold", "kubernetes", "health", "--config", "/etc/freehold/operator.yaml")
    pod.clean()
    try:
        step("operator: start, alive", lambda: (pod.play(), until(pod, *health)))
        require(not succeeds(pod, *health, "--ready"), "the operator is ready without a cluster")
        step("operator: SIGTERM, exit code 0", pod.stop)
    finally:
        pod.clean()


def main() -> int:
    """Run the steps; 1: one failed, and which."""
    version = next(
        line.split('"')[1] for line in Path("pyproject.toml").read_text().splitlines()
        if line.startswith("version = ")
    )  # fmt: skip
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", default=f"{version}-{machine}")
    tag = parser.parse_args().tag
    try:
        check_agent(tag)
        check_control(tag)
        check_operator(tag)
    except CheckError as failure:
        print(f"charts-check: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
