"""The chart of the Kubernetes operator: objects that Kubernetes takes, and the least of rights."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_operator.settings import load_settings
from tests.support.helm import (
    HELM,
    SCHEMAS,
    RefusedError,
    Rendered,
    Values,
    render,
    schema_errors,
)

pytestmark = pytest.mark.skipif(not os.access(HELM, os.X_OK), reason="no Helm: make setup")

CHART = Path("deploy/helm/freehold-operator")
CASES: dict[str, Values] = {
    "plain": {},
    "everything": {
        "image": {"digest": "sha256:" + "0" * 64},
        "imagePullSecrets": [{"name": "registry"}],
        "settings": {
            "agents": {"allowed": ["https://*.vaults.svc:8200"]},
            "leader_election": {"duration": "30s"},
            "workers": 4,
        },
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "vault", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "podLabels": {"a": "b"},
        "podAnnotations": {"example.com/team": "security"},
        "serviceAccount": {"annotations": {"a": "b"}},
        "env": [{"name": "A", "value": "b"}],
        "monitoring": {"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
        "networkPolicy": {"monitoring": [], "ports": [443], "egress": [{"to": []}]},
    },
    "off": {
        "replicas": 1,
        "networkPolicy": {"enabled": False},
        "serviceAccount": {"create": False, "name": "mine"},
        "resources": {"agents": False, "secrets": False},
    },
    "namespaces": {"namespaces": ["prod", "test"], "resources": {"agents": False}},
}
RENDERED: dict[str, Rendered] = {}
CUSTOM = {"PodMonitor"}
every_case = pytest.mark.parametrize("case", CASES)


def rendered(case: str) -> Rendered:
    """Rendered once."""
    if case not in RENDERED:
        RENDERED[case] = render(CHART, CASES[case])
    return RENDERED[case]


@pytest.mark.parametrize("version", SCHEMAS)
@every_case
def test_kubernetes_takes_every_object(case: str, version: str) -> None:
    """The oldest that the chart is for, and the newest."""
    for each in rendered(case).documents:
        if each["kind"] not in CUSTOM:
            assert schema_errors(each, SCHEMAS[version]) == []
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "prod"


@pytest.mark.parametrize("version", SCHEMAS)
def test_kubernetes_takes_the_definitions(root: Path, version: str) -> None:
    """Schemas are structural: no references, and no unions of types."""
    for file in (root / CHART / "crds").iterdir():
        text = file.read_text()
        assert schema_errors(yaml.safe_load(text), SCHEMAS[version]) == []
        assert not {"$ref", "anyOf", "oneOf", "additionalProperties: false"} & set(text.split())


@every_case
def test_the_operator_takes_its_settings(case: str, tmp_path: Path) -> None:
    """And looks after what it has rights for."""
    file = tmp_path / "operator.yaml"
    file.write_text(rendered(case).settings("operator.yaml"))
    settings = load_settings(file, {})
    assert settings.server.address == ("0.0.0.0", 8400)
    assert settings.leader_election.name == "prod-freehold-operator"
    assert settings.leader_election.namespace == "vaults"
    assert settings.kinds.agents == (case in {"plain", "everything"})
    assert settings.kubernetes.namespaces == tuple(CASES[case].get("namespaces", ()))


@every_case
def test_the_pod_is_restricted(case: str) -> None:
    """Kubernetes' Pod Security Standard "restricted", and nothing to write to."""
    pod = rendered(case).only("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod["containers"]
    context = container["securityContext"]
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["readOnlyRootFilesystem"] is True
    assert [set(volume) - {"name"} for volume in pod["volumes"]] == [{"configMap"}]


def rights(rules: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Resources and verbs."""
    return {(name, verb) for rule in rules for name in rule["resources"] for verb in rule["verbs"]}


@every_case
def test_no_secret_can_be_read(case: str) -> None:
    """Not by `get`, `list` and `watch`, nor by `patch`, which answers with the object."""
    for kind in ("ClusterRole", "Role"):
        for role in rendered(case).of_kind(kind):
            for rule in role["rules"]:
                assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            verbs = {verb for name, verb in rights(role["rules"]) if name == "secrets"}
            assert verbs <= {"create", "update"}


def test_rights_are_those_of_what_is_looked_after() -> None:
    """Without agents and Secrets there are few; in some namespaces there are none in others."""
    few = rights(rendered("off").only("ClusterRole")["rules"])
    assert {name for name, _ in few} == {
        "freeholdpolicies", "freeholdpolicies/status", "serviceaccounts/token", "configmaps",
        "events",
    }  # fmt: skip
    found = rendered("namespaces")
    assert not found.of_kind("ClusterRole") + found.of_kind("ClusterRoleBinding")
    roles = {
        (each["metadata"]["namespace"], each["metadata"]["name"]) for each in found.of_kind("Role")
    }
    assert roles == {
        ("prod", "prod-freehold-operator"), ("test", "prod-freehold-operator"),
        ("vaults", "prod-freehold-operator-election"),
    }  # fmt: skip
    for binding in found.of_kind("RoleBinding"):
        assert binding["subjects"][0]["namespace"] == "vaults"
        place = (binding["metadata"]["namespace"], binding["roleRef"]["name"])
        assert place in roles


@every_case
def test_selectors_find_their_pods(case: str) -> None:
    """Of the Deployment, the budget and the policy."""
    found = rendered(case)
    spec = found.only("Deployment")["spec"]
    labels = spec["template"]["metadata"]["labels"]
    for selector in (
        spec["selector"],
        *(each["spec"]["podSelector"] for each in found.of_kind("NetworkPolicy")),
        *(each["spec"]["selector"] for each in found.of_kind("PodDisruptionBudget")),
        *(each["spec"]["selector"] for each in found.of_kind("PodMonitor")),
    ):
        assert selector["matchLabels"].items() <= labels.items()
    account = spec["template"]["spec"]["serviceAccountName"]
    bound = {each["subjects"][0]["name"] for each in found.of_kind("RoleBinding")}
    assert bound == {account}


REFUSED: list[tuple[Values, str]] = [
    ({"replicas": 0}, "replicas"),
    ({"resources": {"agents": False, "secrets": False, "policies": False}}, "resources"),
    ({"settings": {"agents": {"allowed": []}}}, "settings.agents.allowed"),
    ({"settings": {"kubernetes": {}}}, "kubernetes is not allowed"),
    ({"namespaces": ["Prod"]}, "namespaces"),
    ({"image": {"digest": "latest"}}, "image.digest"),
    ({"replica": 1}, "replica is not allowed"),
]


@pytest.mark.parametrize(("values", "said"), REFUSED)
def test_bad_values_are_refused_by_name(values: Values, said: str) -> None:
    """Before anything is sent to the cluster."""
    with pytest.raises(RefusedError) as refused:
        render(CHART, values)
    assert said in str(refused.value)


def test_the_chart_is_of_this_version(root: Path) -> None:
    """Its default image is that of `make image`."""
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((root / CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    [container] = rendered("plain").only("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"localhost/freehold-operator:{version}"
