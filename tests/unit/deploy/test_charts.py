"""The Helm charts: every object is one that Kubernetes takes, and every file one that we take."""

import base64
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from control.config.load import load_settings as load_control
from tests.support.helm import (
    HELM,
    SCHEMAS,
    Document,
    RefusedError,
    Rendered,
    Values,
    render,
    schema_errors,
)
from vault.config.load import load_settings

pytestmark = pytest.mark.skipif(not os.access(HELM, os.X_OK), reason="no Helm: make setup")

CUSTOM = {"ServiceMonitor", "PrometheusRule", "Certificate"}  # of operators, with no schema here
OFF: Values = {
    "podDisruptionBudget": {"enabled": False},
    "topologySpread": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "serviceAccount": {"create": False},
    "tls": {"generate": False, "secretName": "mine"},
}
ON: Values = {
    "image": {"digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "monitoring": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
    },
    "tls": {"certManager": {"enabled": True, "issuerRef": {"name": "ca"}}, "names": ["v.example"]},
    "service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "vault", "operator": "Exists"}],
    "priorityClassName": "high",
    "podLabels": {"azure.workload.identity/use": "true"},
    "podAnnotations": {"example.com/team": "security"},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/vault"}},
    "env": [{"name": "AWS_REGION", "value": "eu-central-1"}],
    "extraVolumes": [{"name": "backup", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "backup", "mountPath": "/backup"}],
}
SEVERAL: Values = {
    "replicas": 3,
    "storage": {
        "type": "postgresql",
        "host": "db.example.com",
        "passwordSecret": {"name": "freehold-database"},
        "caSecret": {"name": "freehold-database", "key": "root.crt"},
    },
    "redis": {
        "url": "rediss://freehold@redis.example.com:6380",
        "passwordSecret": {"name": "freehold-redis"},
        "caSecret": {"name": "freehold-redis"},
    },
    "tls": {"clientAuthority": {"secretName": "clients"}},
}
KMS: Values = {
    "settings": {
        "encryption": {
            "key_management": "cloud_kms",
            "cloud_kms": {"aws": {"key": "alias/freehold", "region": "eu-central-1"}},
        },
        "backup": {
            "enabled": True,
            "destinations": [
                {"type": "s3", "bucket": "example-backups", "region": "eu-central-1"},
                {"type": "sftp", "host": "b.example", "port": 2222, "user": "f", "path": "/b",
                 "key_file": "/run/freehold/credentials/sftp-key",
                 "known_hosts_file": "/run/freehold/credentials/known-hosts"},
            ],
        },
        "control_plane": {
            "enabled": True,
            "endpoint": "https://control.example.com:8301",
            "pin": "sha256:" + "A" * 43,
        },
        "limits": {"rate": {"requests_per_second": 1000000}},
    },
    "credentials": {"secretName": "freehold-credentials"},
}  # fmt: skip
TRANSIT: Values = {
    "settings": {
        "encryption": {
            "key_management": "cloud_kms",
            "cloud_kms": {
                "transit": {
                    "address": "https://bao.example.com:8200",
                    "key": "freehold",
                    "token_credential": "token",
                }
            },
        }
    },
    "credentials": {"secretName": "bao"},
}
PROVIDERS: Values = {
    "settings": {
        "encryption": {
            "key_management": "providers",
            "providers": [
                {"name": "cloud", "cloud_kms": {"aws": {"key": "alias/freehold"}}},
                {"name": "here", "key_file": "/var/lib/freehold-key/wrapping.key"},
            ],
        }
    },
    "kubernetesAuth": {"enabled": True},
}
MYSQL: Values = {"storage": {"type": "mysql", "host": "db", "port": 3307}}
KEY_FILE: Values = {"settings": {"encryption": {"key_management": "file"}}}
CONTROL_SEVERAL: Values = {
    "replicas": 2,
    "database": {"type": "postgresql", "urlSecret": {"name": "freehold-control"}},
    "redis": {"urlSecret": {"name": "freehold-control", "key": "redis"}},
    "persistence": {"accessMode": "ReadWriteMany"},
    "link": {"hosts": ["control.example.com"]},
}
SETUP: Values = {"setup": {"enabled": True, "organization": "acme", "title": "Acme Ltd"}}

CASES: dict[str, tuple[str, Values]] = {
    "agent": ("agent", {}),
    "agent-off": ("agent", OFF),
    "agent-on": ("agent", ON),
    "agent-several": ("agent", SEVERAL),
    "agent-kms": ("agent", KMS),
    "agent-transit": ("agent", TRANSIT),
    "agent-providers": ("agent", PROVIDERS),
    "agent-mysql": ("agent", MYSQL),
    "agent-file": ("agent", KEY_FILE),
    "control": ("control", {}),
    "control-off": ("control", OFF),
    "control-on": ("control", ON),
    "control-several": ("control", CONTROL_SEVERAL),
    "control-setup": ("control", SETUP),
}
RENDERED: dict[str, Rendered] = {}
every_case = pytest.mark.parametrize("case", CASES)


def rendered(case: str) -> Rendered:
    """Rendered once."""
    if case not in RENDERED:
        program, values = CASES[case]
        RENDERED[case] = render(Path("deploy/helm") / f"freehold-{program}", values)
    return RENDERED[case]


@pytest.mark.parametrize("version", SCHEMAS)
@every_case
def test_kubernetes_takes_every_object(case: str, version: str) -> None:
    """The oldest that the charts are for, and the newest."""
    for each in rendered(case).documents:
        if each["kind"] not in CUSTOM:
            assert schema_errors(each, SCHEMAS[version]) == []
        everywhere = each["kind"] == "ClusterRoleBinding"
        assert each["metadata"].get("namespace") == (None if everywhere else "vaults")
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "prod"


def test_the_schemas_find_a_misspelt_key() -> None:
    """Else the test above could not fail."""
    service: Document = json.loads(json.dumps(rendered("agent").of_kind("Service")[0]))
    service["spec"]["port"] = service["spec"].pop("ports")
    [error] = schema_errors(service, SCHEMAS["1.37"])
    assert "'port' was unexpected" in error


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("agent")])
def test_the_agent_takes_its_settings(case: str, tmp_path: Path) -> None:
    """And with TLS on all interfaces, whatever the values say."""
    file = tmp_path / "vault.yaml"
    file.write_text(rendered(case).settings("vault.yaml"))
    given = rendered(case).environment()
    ours = {name: given[name] for name in given if name.startswith("FREEHOLD_AGENT_")}
    settings = load_settings(file, ours)
    assert settings.server.tls.enabled
    assert settings.control_plane.label == ("given" if case == "agent-kms" else "")
    assert settings.server.address == ("0.0.0.0", 8200)
    assert settings.server.drain_delay is not None


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("control")])
def test_the_control_plane_takes_its_settings(case: str, tmp_path: Path) -> None:
    """Addresses with passwords come by the environment, of Secrets."""
    file = tmp_path / "control.yaml"
    file.write_text(rendered(case).settings("control.yaml"))
    names = {name for name in rendered(case).environment() if "__URL" in name}
    scheme = {"DATABASE": "postgresql", "REDIS": "redis"}
    urls = {name: f"{scheme[name.split('_')[2]]}://u:p@host/db" for name in names}
    settings = load_control(file, urls)
    assert settings.server.tls.enabled
    assert settings.link is not None
    assert "prod-freehold-control.vaults.svc" in settings.link.hosts
    assert (settings.redis is not None) == (case == "control-several")


def test_values_become_settings(tmp_path: Path) -> None:
    """Several agents on a database; a cloud's key; an agent that links."""
    several, kms = tmp_path / "several.yaml", tmp_path / "kms.yaml"
    several.write_text(rendered("agent-several").settings("vault.yaml"))
    kms.write_text(rendered("agent-kms").settings("vault.yaml"))
    one = load_settings(several, {})
    assert one.storage.connection_string.get_secret_value() == (
        "postgresql://freehold@db.example.com:5432/freehold"
    )
    assert one.storage.password_file == Path("/run/freehold/database/password")
    assert one.server.tls.client_auth == "optional"
    assert one.cache.redis is not None
    two = load_settings(kms, {})
    assert two.encryption.cloud_kms is not None
    assert two.encryption.cloud_kms.aws is not None
    assert two.limits.rate.requests_per_second == 1_000_000
    assert [each.type for each in two.backup.destinations] == ["s3", "sftp"]


@every_case
def test_pods_are_restricted(case: str) -> None:
    """Kubernetes' Pod Security Standard "restricted", and a root file system that is read-only."""
    for pod in rendered(case).pods():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
        assert spec["automountServiceAccountToken"] is (case == "agent-providers")
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= {
                "configMap", "secret", "emptyDir", "persistentVolumeClaim"
            }  # fmt: skip
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True
            assert not any("hostPort" in port for port in container.get("ports", ()))


@every_case
def test_modes_of_files_are_left_as_they_are(case: str) -> None:
    """A kubelet that opens them to the group makes database and keys unusable."""
    for pod in rendered(case).pods():
        context = pod["spec"]["securityContext"]
        assert (context["fsGroup"], context["fsGroupChangePolicy"]) == (10001, "OnRootMismatch")


@every_case
def test_every_file_of_the_settings_is_mounted(case: str) -> None:
    """What is read comes of a Secret or ConfigMap; what is written is in a claim."""
    found = rendered(case)
    spec, container = found.pod["spec"], found.container
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    claims = found.only("StatefulSet")["spec"].get("volumeClaimTemplates", [])
    kept = {each["metadata"]["name"] for each in claims} | {
        each["name"] for each in spec["volumes"] if "persistentVolumeClaim" in each
    }
    assert set(mounts.values()) == kept | {each["name"] for each in spec["volumes"]}
    [text] = found.only("ConfigMap")["data"].values()
    for path in paths(yaml.safe_load(text)):
        holder = max((mount for mount in mounts if path.startswith(mount + "/")), key=len)
        assert (mounts[holder] in kept) == (not path.startswith("/run/freehold/"))


def paths(value: Any) -> set[str]:
    """Absolute paths in settings; of a SQLite URL, its file."""
    if isinstance(value, dict):
        return {path for each in value.values() for path in paths(each)}
    if isinstance(value, str) and value.startswith(("/var", "/run", "/etc", "sqlite:///")):
        return {value.removeprefix("sqlite:///")}
    return set()


@every_case
def test_sealed_is_alive_and_not_ready(case: str) -> None:
    """A restart would not help it; requests would not either."""
    container = rendered(case).container
    port = next(each["containerPort"] for each in container["ports"] if each["name"] == "https")
    assert port in {8200, 8300}
    for probe, path in (("startup", "live"), ("liveness", "live"), ("readiness", "ready")):
        assert container[f"{probe}Probe"]["httpGet"] == {
            "path": f"/health/{path}", "port": "https", "scheme": "HTTPS"
        }  # fmt: skip


@every_case
def test_selectors_find_their_pods(case: str) -> None:
    """Of Services, policies and budgets; and Services their ports."""
    found = rendered(case)
    labels = found.pod["metadata"]["labels"]
    ports = {each["name"] for each in found.container["ports"]}
    stateful = found.only("StatefulSet")["spec"]
    for service in found.of_kind("Service"):
        assert service["spec"]["selector"].items() <= labels.items()
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports
    for selector in (
        stateful["selector"],
        *(each["spec"]["podSelector"] for each in found.of_kind("NetworkPolicy")),
        *(each["spec"]["selector"] for each in found.of_kind("PodDisruptionBudget")),
        *(each["labelSelector"] for each in found.pod["spec"].get("topologySpreadConstraints", ())),
    ):
        assert selector["matchLabels"].items() <= labels.items()
    [headless] = [each for each in found.of_kind("Service") if "clusterIP" in each["spec"]]
    assert headless["metadata"]["name"] == stateful["serviceName"]
    assert headless["spec"]["publishNotReadyAddresses"] is True
    for monitor in found.of_kind("ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        assert [headless] == [
            each
            for each in found.of_kind("Service")
            if wanted.items() <= each["metadata"]["labels"].items()
        ]


@pytest.mark.parametrize(("case", "replicas"), [("agent-several", 3), ("control-several", 2)])
def test_several_replicas_are_spread_and_not_drained_together(case: str, replicas: int) -> None:
    """One at a time; a single one would block the drain of its node."""
    found = rendered(case)
    assert found.only("StatefulSet")["spec"]["replicas"] == replicas
    assert found.only("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert [each["topologyKey"] for each in found.pod["spec"]["topologySpreadConstraints"]] == [
        "kubernetes.io/hostname", "topology.kubernetes.io/zone"
    ]  # fmt: skip
    assert not rendered(case.split("-", maxsplit=1)[0]).of_kind("PodDisruptionBudget")


@pytest.mark.parametrize(
    ("case", "ports"),
    [
        ("agent", {53}),
        ("agent-several", {53, 5432, 6380}),
        ("agent-kms", {53, 443, 2222, 8301, 80, 988}),
        ("agent-transit", {53, 8200, 80, 988}),
        ("agent-providers", {53, 443, 6443, 80, 988}),
        ("agent-mysql", {53, 3307}),
        ("control-several", {53, 5432, 6379, 443, 587, 465}),
    ],
)
def test_the_way_out_is_what_the_settings_need(case: str, ports: set[int]) -> None:
    """And nothing else."""
    policy = rendered(case).only("NetworkPolicy")["spec"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == ports
    assert all(rule["from"] for rule in policy["ingress"])


@pytest.mark.parametrize("program", ["agent", "control"])
def test_everything_off_leaves_what_it_takes_to_serve(program: str) -> None:
    """No certificate of Helm's beside one that is there."""
    kinds = {each["kind"] for each in rendered(f"{program}-off").documents}
    claim = {"PersistentVolumeClaim"} if program == "control" else set()
    assert kinds == {"ConfigMap", "Service", "StatefulSet"} | claim
    volumes = {each["name"]: each for each in rendered(f"{program}-off").pod["spec"]["volumes"]}
    assert volumes["tls"]["secret"]["secretName"] == "mine"


@pytest.mark.parametrize("program", ["agent", "control"])
def test_alert_rules_are_those_of_prometheus(root: Path, program: str) -> None:
    """Which promtool has tried; Helm must not read their templates as its own."""
    rules = yaml.safe_load((root / "deploy/prometheus/rules.yml").read_text())["groups"]
    found = rendered(f"{program}-on").only("PrometheusRule")["spec"]["groups"]
    assert found == [each for each in rules if each["name"] == f"freehold-{program}"]
    monitor = rendered(f"{program}-on").only("ServiceMonitor")["spec"]["endpoints"][0]
    assert {"targetLabel": "job", "replacement": f"freehold-{program}"} in monitor["relabelings"]


@pytest.mark.parametrize("program", ["agent", "control"])
def test_the_certificate_of_helm_is_for_how_clients_call_it(program: str) -> None:
    """By the Service's name, each pod's, and on its own machine; signed by the authority."""
    secret = rendered(program).only("Secret")
    parts = {key: base64.b64decode(value) for key, value in secret["data"].items()}
    certificate = x509.load_pem_x509_certificate(parts["tls.crt"])
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(parts["ca.crt"]))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    full = f"prod-freehold-{program}"
    assert {"localhost", f"{full}.vaults.svc", f"*.{full}-pods.vaults.svc"} <= set(
        names.get_values_for_type(x509.DNSName)
    )
    assert "127.0.0.1" in map(str, names.get_values_for_type(x509.IPAddress))
    managed = rendered(f"{program}-on")
    assert not managed.of_kind("Secret")
    wanted = managed.only("Certificate")["spec"]
    assert {"v.example", f"{full}.vaults.svc"} <= set(wanted["dnsNames"])
    volumes = {each["name"]: each for each in managed.pod["spec"]["volumes"]}
    assert volumes["tls"]["secret"]["secretName"] == wanted["secretName"]


def test_the_key_file_has_a_volume_of_its_own() -> None:
    """So that a copy of the data does not hold it."""
    for case in ("agent-file", "agent-providers"):
        claims = rendered(case).only("StatefulSet")["spec"]["volumeClaimTemplates"]
        assert [each["metadata"]["name"] for each in claims] == ["data", "logs", "anchor", "key"]
    assert len(rendered("agent").only("StatefulSet")["spec"]["volumeClaimTemplates"]) == 3


def test_the_agent_may_review_tokens_and_no_more() -> None:
    """For `auth/kubernetes`; without it no pod has a token of the API server."""
    binding = rendered("agent-providers").only("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == "system:auth-delegator"
    [subject] = binding["subjects"]
    account = rendered("agent-providers").only("ServiceAccount")["metadata"]
    assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
    assert not rendered("agent").of_kind("ClusterRoleBinding")


def test_credentials_are_handed_over_as_systemd_does() -> None:
    """Files of a Secret can be read by the group, which the settings *_file of keys refuse."""
    assert rendered("agent-transit").environment()["CREDENTIALS_DIRECTORY"] == (
        "/run/freehold/credentials"
    )


def test_the_setup_runs_alone() -> None:
    """A control plane without accounts ends; and one volume is on one machine."""
    found = rendered("control-setup")
    assert found.only("StatefulSet")["spec"]["replicas"] == 0
    [job] = found.only("Job")["spec"]["template"]["spec"]["containers"]
    assert job["args"][:4] == ["control", "init", "acme", "--title=Acme Ltd"]
    assert job["volumeMounts"] == found.container["volumeMounts"]
    assert found.only("PersistentVolumeClaim")["metadata"]["annotations"] == {
        "helm.sh/resource-policy": "keep"
    }


def test_a_change_of_settings_rolls_the_pods() -> None:
    """They are read at the start."""
    sums = {rendered(case).pod["metadata"]["annotations"]["checksum/settings"] for case in
            ("agent", "agent-several", "agent-kms", "agent-file")}  # fmt: skip
    assert len(sums) == 4


REFUSED: list[tuple[str, Values, str]] = [
    ("agent", {"replicas": 2}, "storage.type"),
    ("agent", {"replicas": 0}, "replicas"),
    ("agent", {"replica": 1}, "replica is not allowed"),
    ("agent", {**SEVERAL, **KEY_FILE}, "key_management"),
    ("agent", {"storage": {"type": "postgresql"}}, "storage.host"),
    ("agent", {"storage": {"type": "oracle", "host": "db"}}, "storage.type"),
    ("agent", {"settings": {"storage": {"type": "mysql"}}}, "type is not allowed"),
    ("agent", {"settings": {"encription": {}}}, "encription is not allowed"),
    ("agent", {"settings": {"encryption": {"key_management": "cloud_kms"}}}, "cloud_kms"),
    ("agent", {"settings": {"encryption": {"key_management": "awskms"}}}, "key_management"),
    ("agent", {"redis": {"url": "redis://h"}}, "storage.type"),
    ("agent", {"tls": {"generate": False}}, "tls"),
    ("agent", {"tls": {"certManager": {"enabled": True}}}, "issuerRef.name"),
    ("agent", {"image": {"digest": "latest"}}, "image.digest"),
    ("agent", {"persistence": {"data": {"size": "ten"}}}, "persistence.data.size"),
    ("agent", {"service": {"port": 0}}, "service.port"),
    ("agent", {"drainDelay": "90s"}, "drainDelay"),
    ("agent", {"drainDelay": "0s"}, "drainDelay"),
    ("control", {"database": {"type": "postgresql"}}, "urlSecret.name"),
    ("control", {**CONTROL_SEVERAL, "persistence": {}}, "persistence"),
    ("control", {**CONTROL_SEVERAL, "redis": {}}, "redis.urlSecret.name"),
    ("control", {"setup": {"organization": "Acme Ltd"}}, "setup.organization"),
    ("control", {"settings": {"serve": {}}}, "serve is not allowed"),
]


@pytest.mark.parametrize(("program", "values", "said"), REFUSED)
def test_bad_values_are_refused_by_name(
    root: Path, program: str, values: Values, said: str
) -> None:
    """Before anything is sent to the cluster."""
    with pytest.raises(RefusedError) as refused:
        render(root / f"deploy/helm/freehold-{program}", values)
    assert "values don't meet the specifications of the schema" in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize("program", ["agent", "control"])
def test_the_chart_is_of_this_version(root: Path, program: str) -> None:
    """Its default image is that of `make image`."""
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((root / f"deploy/helm/freehold-{program}/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert rendered(program).container["image"] == f"localhost/freehold-{program}:{version}"
