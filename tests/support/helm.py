"""Helm charts, rendered by a real Helm (tools/setup.sh unpacks it)."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

HELM = Path(sys.prefix, "share/helm/helm")
SCHEMAS = {version: HELM.with_name(version) for version in ("1.25", "1.37")}
NAMESPACE = "vaults"
RELEASE = "prod"

Values = Mapping[str, Any]
Document = dict[str, Any]


class RefusedError(Exception):
    """Helm does not render that; the text says why."""


def render(chart: Path, values: Values) -> "Rendered":
    """What `helm install prod CHART --namespace vaults` sends. Raises `RefusedError`."""
    done = subprocess.run(
        [HELM, "template", RELEASE, chart, "--namespace", NAMESPACE, "--values", "-",
         "--kube-version", "1.37.0"],
        input=yaml.safe_dump(dict(values)), capture_output=True, text=True, check=False,
        env={"HOME": "/nonexistent"},
    )  # fmt: skip
    if done.returncode:
        raise RefusedError(done.stderr)
    return Rendered([each for each in yaml.safe_load_all(done.stdout) if each])


class Rendered:
    """The objects of a release."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents

    def of_kind(self, kind: str) -> list[Document]:
        """All of them, in the order in which they were rendered."""
        return [each for each in self.documents if each["kind"] == kind]

    def only(self, kind: str) -> Document:
        """The one of that kind."""
        [found] = self.of_kind(kind)
        return found

    @property
    def pod(self) -> Document:
        """The pod of the server, as in the StatefulSet."""
        template: Document = self.only("StatefulSet")["spec"]["template"]
        return template

    @property
    def container(self) -> Document:
        """Its one container."""
        [container] = self.pod["spec"]["containers"]
        return dict(container)

    def pods(self) -> Iterator[Document]:
        """Every pod template."""
        for each in self.of_kind("StatefulSet") + self.of_kind("Job"):
            yield each["spec"]["template"]

    def settings(self, file: str) -> str:
        """The configuration file of that name."""
        return str(self.only("ConfigMap")["data"][file])

    def environment(self) -> dict[str, str]:
        """The variables; what comes of a Secret or of the pod is "given"."""
        return {each["name"]: each.get("value", "given") for each in self.container["env"]}


def schema_errors(document: Document, folder: Path) -> list[str]:
    """What Kubernetes would say of it: unknown keys are errors."""
    group, _, version = document["apiVersion"].rpartition("/")
    parts = [document["kind"].lower(), group.partition(".")[0], version]
    schema = json.loads((folder / f"{'-'.join(filter(None, parts))}.json").read_text())
    definitions = json.loads((folder / "_definitions.json").read_text())
    registry: Registry[Any] = Resource.from_contents(schema) @ Registry()
    registry = Resource.from_contents(definitions) @ registry
    validator = Draft202012Validator(schema, registry=registry)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
