"""A `FreeholdAgent` is the chart freehold-agent: with the same values, the same objects."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_operator.agent_spec import read_agent_spec
from kube_operator.errors import SpecError
from kube_operator.manifests import agent_objects
from tests.support.helm import HELM, NAMESPACE, RELEASE, Values, render
from vault.config.load import load_settings

TLS: Values = {"tls": {"secretName": "mine"}}
CASES: dict[str, Values] = {
    "plain": {},
    "everything": {
        "image": {
            "repository": "r.example/a", "digest": "sha256:" + "0" * 64, "pullPolicy": "Always"
        },
        "imagePullSecrets": [{"name": "registry"}],
        "drainDelay": "9s",
        "service": {
            "type": "LoadBalancer", "port": 443, "annotations": {"a": "b"},
            "loadBalancerSourceRanges": ["10.0.0.0/8"],
        },
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "vault", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "podLabels": {"azure.workload.identity/use": "true"},
        "podAnnotations": {"example.com/team": "security"},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn"}, "name": "other"},
        "env": [{"name": "AWS_REGION", "value": "eu-central-1"}],
        "extraVolumes": [{"name": "backup", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "backup", "mountPath": "/backup"}],
        "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
        "persistence": {"data": {"size": "1Gi", "storageClass": "fast"}},
    },
    "off": {
        "podDisruptionBudget": {"enabled": False},
        "topologySpread": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "serviceAccount": {"create": False},
    },
    "closed": {"networkPolicy": {"clients": [], "monitoring": [], "egress": [{"to": []}]}},
    "several": {
        "replicas": 3,
        "image": {"repository": "localhost/freehold-agent", "tag": "7"},
        "podDisruptionBudget": {"maxUnavailable": "50%"},
        "topologySpread": {"whenUnsatisfiable": "DoNotSchedule"},
        "storage": {
            "type": "postgresql", "host": "db.example.com", "passwordSecret": {"name": "database"},
            "caSecret": {"name": "database", "key": "root.crt"},
        },
        "redis": {
            "url": "rediss://freehold@redis.example.com:6380", "passwordSecret": {"name": "redis"},
            "caSecret": {"name": "redis"},
        },
        "tls": {"secretName": "mine", "clientAuthority": {"secretName": "clients"}},
    },
    "mysql": {"storage": {"type": "mysql", "host": "db", "port": 3307}},
    "mysql-usual": {"storage": {"type": "mysql", "host": "db"}},
    "clouds": {
        "settings": {
            "encryption": {
                "key_management": "cloud_kms",
                "cloud_kms": {"aws": {"key": "alias/freehold", "region": "eu-central-1"}},
            },
            "backup": {
                "enabled": True,
                "destinations": [
                    {"type": "s3", "bucket": "backups", "region": "eu-central-1"},
                    {"type": "s3", "name": "two", "bucket": "backups", "region": "x",
                     "endpoint": "https://s3.example:9000"},
                    {"type": "local", "path": "/backup"},
                    {"type": "sftp", "host": "b.example", "port": 2222, "user": "f", "path": "/b",
                     "key_file": "/run/freehold/credentials/sftp-key",
                     "known_hosts_file": "/run/freehold/credentials/known-hosts"},
                ],
            },
            "control_plane": {
                "enabled": True, "endpoint": "https://control.example.com:8301",
                "pin": "sha256:" + "A" * 43,
            },
            "monitoring": {"telemetry": {"otlp": {"url": "https://otlp.example:4318/v1"}}},
        },
        "credentials": {"secretName": "freehold-credentials"},
    },
    "providers": {
        "settings": {
            "encryption": {
                "key_management": "providers",
                "providers": [
                    {"name": "bao", "cloud_kms": {"transit": {
                        "address": "https://bao.example.com:8201", "key": "freehold",
                        "token_credential": "token"}}},
                    {"name": "here", "key_file": "/var/lib/freehold-key/wrapping.key"},
                ],
            }
        },
        "credentials": {"secretName": "bao"},
        "kubernetesAuth": {"enabled": True},
    },
    "file": {"settings": {"encryption": {"key_management": "file"}}},
}  # fmt: skip
LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version")


def resource(values: Values) -> dict[str, Any]:
    """A `FreeholdAgent` with the name of the release."""
    return {
        "apiVersion": "freehold.dev/v1alpha1", "kind": "FreeholdAgent",
        "metadata": {"name": RELEASE, "namespace": NAMESPACE, "uid": "u-1"},
        "spec": {**TLS, **values},
    }  # fmt: skip


def objects(values: Values) -> list[dict[str, Any]]:
    """What it is made of."""
    document = resource(values)
    return agent_objects(document, read_agent_spec(document), "0.1.0")


def comparable(documents: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """By kind and name, without what says who made it; settings as they are read."""
    found = {}
    for each in documents:
        metadata = each["metadata"]
        metadata.pop("ownerReferences", None)
        for label in LABELS:
            metadata["labels"].pop(label, None)
        if each["kind"] == "ConfigMap":
            each["data"] = {name: yaml.safe_load(text) for name, text in each["data"].items()}
        if each["kind"] == "StatefulSet":
            assert each["spec"]["template"]["metadata"]["annotations"].pop("checksum/settings")
        found[each["kind"], metadata["name"]] = each
    return found


@pytest.mark.skipif(not os.access(HELM, os.X_OK), reason="no Helm: make setup")
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_chart(root: Path, case: str) -> None:
    """But for the bindings of `kubernetesAuth`, which the operator may not make."""
    values = {**TLS, **CASES[case]}
    chart = root / "deploy/helm/freehold-agent"
    rendered = render(chart, {**values, "fullnameOverride": RELEASE}).documents
    wanted = comparable([each for each in rendered if each["kind"] != "ClusterRoleBinding"])
    found = comparable(objects(CASES[case]))
    assert found.keys() == wanted.keys()
    for key, each in wanted.items():
        assert found[key] == each


@pytest.mark.parametrize("case", CASES)
def test_an_agent_takes_its_settings(case: str, tmp_path: Path) -> None:
    """All goes with its resource, and the settings are ones that the agent loads."""
    made = objects(CASES[case])
    assert all(each["metadata"]["ownerReferences"][0]["uid"] == "u-1" for each in made)
    [settings] = [each["data"]["vault.yaml"] for each in made if each["kind"] == "ConfigMap"]
    (tmp_path / "vault.yaml").write_text(settings)
    assert load_settings(tmp_path / "vault.yaml", {}).server.tls.enabled


def test_a_change_of_settings_rolls_the_pods() -> None:
    """They are read at the start; the same settings are the same pods."""

    def digest(values: Values) -> str:
        [found] = [each for each in objects(values) if each["kind"] == "StatefulSet"]
        text: str = found["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
        return text

    assert digest({}) == digest({"podLabels": {"a": "b"}})
    assert digest({}) != digest({"drainDelay": "7s"})


REFUSED: list[tuple[Values, str]] = [
    ({"tls": {}}, "secretName"),
    ({"replicas": 2}, "spec.storage.type"),
    ({"replicas": 0}, "replicas"),
    ({"replica": 1}, "replica"),
    ({"redis": {"url": "redis://h"}}, "spec.storage.type"),
    ({"storage": {"type": "postgresql"}}, "spec.storage.host"),
    ({"storage": {"type": "oracle"}}, "type"),
    ({"settings": {"storage": {"type": "mysql"}}}, "spec.settings.storage.type"),
    ({"settings": {"encryption": "x"}}, "spec.settings.encryption"),
    ({"replicas": 2, "storage": {"type": "mysql", "host": "db"},
      "settings": {"encryption": {"key_management": "file"}}}, "key_management"),
    ({"image": {"digest": "latest"}}, "digest"),
    ({"persistence": {"data": {"size": "ten"}}}, "size"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "said"), REFUSED)
def test_what_cannot_be_is_refused(values: Values, said: str) -> None:
    """By its place in the spec, before anything is applied."""
    with pytest.raises(SpecError) as refused:
        objects(values)
    assert said in str(refused.value)


def test_a_name_that_is_too_long_is_refused() -> None:
    """Pods and claims have more behind it."""
    document = resource({})
    document["metadata"]["name"] = "a" * 41
    with pytest.raises(SpecError, match="40 characters"):
        read_agent_spec(document)
