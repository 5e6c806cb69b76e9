"""The objects that a `FreeholdAgent` is made of: those of the chart freehold-agent.

A test renders the chart with the same values and compares, so that both stay one.
"""

import hashlib  # noqa: TID251  # of settings, in which there is no secret: pods follow a change
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from kube_operator.agent_spec import AgentSpec, SecretKey
from kube_operator.objects import APPLIED, MANAGER, Document, owner_reference

PORT: Final = 8200
NAME: Final = "freehold-agent"
USER: Final = 10001  # of the image
DATABASE_PORTS: Final = {"postgresql": 5432, "mysql": 3306}
KEY_FOLDER: Final = "/var/lib/freehold-key"
_CLOUD_CREDENTIALS: Final = ("169.254.169.252/30", "169.254.170.23/32")
"""Where AWS and Google Cloud hand out a pod's credentials."""


def agent_objects(owner: Document, spec: AgentSpec, version: str) -> list[Document]:
    """All objects of an agent, in the order in which they are applied.

    They are deleted with their owner.
    """
    return list(_Objects(owner, spec, version))


class _Objects:
    def __init__(self, owner: Document, spec: AgentSpec, version: str) -> None:
        self._owner = owner
        self._spec = spec
        self._version = version
        self._name: str = owner["metadata"]["name"]
        self._selector = {
            "app.kubernetes.io/name": NAME,
            "app.kubernetes.io/instance": self._name,
        }
        self._settings = agent_settings(spec)
        has_key = spec.key_management == "file" or f"{KEY_FOLDER}/" in str(spec.settings)
        self._volumes = ["data", "logs", "anchor", *(["key"] if has_key else [])]

    def __iter__(self) -> Iterator[Document]:
        spec = self._spec
        if spec.service_account.create:
            account = self._object("ServiceAccount", self._account)
            account["metadata"] |= _given(annotations=spec.service_account.annotations)
            yield account | {"automountServiceAccountToken": False}
        text = yaml.safe_dump(self._settings)
        yield self._object("ConfigMap") | {"data": {"vault.yaml": text}}
        yield self._service()
        yield self._pods_service()
        if spec.pod_disruption_budget.enabled and spec.replicas > 1:
            yield self._object("PodDisruptionBudget") | {
                "spec": {
                    "maxUnavailable": spec.pod_disruption_budget.max_unavailable,
                    "selector": {"matchLabels": self._selector},
                }
            }
        if spec.network_policy.enabled:
            yield self._object("NetworkPolicy") | {"spec": self._network()}
        digest = hashlib.sha256(text.encode()).hexdigest()
        yield self._object("StatefulSet") | {"spec": self._stateful_set(digest)}

    @property
    def _account(self) -> str:
        account = self._spec.service_account
        return account.name or (self._name if account.create else "default")

    def _object(self, kind: str, name: str = "") -> Document:
        metadata = {
            "name": name or self._name,
            "namespace": self._owner["metadata"]["namespace"],
            "labels": {
                **self._selector,
                "app.kubernetes.io/version": self._version,
                "app.kubernetes.io/managed-by": MANAGER,
                "app.kubernetes.io/part-of": "freehold",
            },
            "ownerReferences": [owner_reference(self._owner)],
        }
        return {"apiVersion": APPLIED[kind].api_version, "kind": kind, "metadata": metadata}

    def _service(self) -> Document:
        service = self._spec.service
        found = self._object("Service")
        found["metadata"] |= _given(annotations=service.annotations)
        is_outside = service.type != "ClusterIP"
        return found | {
            "spec": {
                "type": service.type,
                "selector": self._selector,
                "ports": [_service_port(service.port)],
                **_given(loadBalancerSourceRanges=service.load_balancer_source_ranges),
                **({"externalTrafficPolicy": "Local"} if is_outside else {}),
            }
        }

    def _pods_service(self) -> Document:
        """Each pod by its name, sealed ones as well: to unseal them, and for metrics."""
        found = self._object("Service", f"{self._name}-pods")
        found["metadata"]["labels"]["freehold/each-pod"] = "true"
        return found | {
            "spec": {
                "clusterIP": "None",
                "publishNotReadyAddresses": True,
                "selector": self._selector,
                "ports": [_service_port(PORT)],
            }
        }

    def _network(self) -> Document:
        network = self._spec.network_policy
        sources = [*network.clients, *network.monitoring]
        ports = [{"port": "https", "protocol": "TCP"}]
        names: list[Document] = [
            {"port": 53, "protocol": "UDP"},
            {"port": 53, "protocol": "TCP"},
        ]
        out: list[Document] = [{"ports": names}]
        if found := list(dict.fromkeys(self._ports_out())):
            out.append({"ports": [{"port": port, "protocol": "TCP"} for port in found]})
        if self._clouds():
            out.append(
                {
                    "to": [{"ipBlock": {"cidr": each}} for each in _CLOUD_CREDENTIALS],
                    "ports": [{"port": port, "protocol": "TCP"} for port in (80, 988)],
                }
            )
        return {
            "podSelector": {"matchLabels": self._selector},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": sources, "ports": ports}] if sources else [],
            "egress": [*out, *network.egress],
        }

    def _clouds(self) -> list[Mapping[str, Any]]:
        """The clouds of all seals, present and former."""
        found = self._spec.settings.get("encryption", {})
        former = found.get("migrate_from", {})
        seals = [found, *found.get("providers", []), *former.get("providers", [])]
        return [seal["cloud_kms"] for seal in seals if "cloud_kms" in seal]

    def _ports_out(self) -> Iterator[int]:
        """Ports outside that the settings need."""
        spec, settings = self._spec, self._settings
        if spec.storage.type != "sqlite":
            yield spec.storage.port or DATABASE_PORTS[spec.storage.type]
        if spec.redis.url:
            yield _port(spec.redis.url, 6379)
        for cloud in self._clouds():
            yield _port(cloud.get("transit", {}).get("address", ""), 443)
        if spec.kubernetes_auth.enabled:
            yield from (443, 6443)
        for each in settings.get("backup", {}).get("destinations", []):
            if each["type"] == "sftp":
                yield int(each.get("port", 22))
            elif each["type"] != "local":
                yield _port(each.get("endpoint", ""), 443)
        yield from (_port(url, 443) for url in self._urls_out() if url)

    def _urls_out(self) -> Iterator[str]:
        """Of control planes and of telemetry; some are empty."""
        control = self._settings["control_plane"]
        if control.get("enabled"):
            yield from (control.get("endpoint", ""), *control.get("endpoints", []))
        telemetry = self._settings.get("monitoring", {}).get("telemetry", {})
        for name in ("remote_write", "otlp"):
            yield telemetry.get(name, {}).get("url", "")

    def _secret_volumes(self) -> Iterator[tuple[str, str, str, str]]:
        """Secrets that are folders: name of the volume, Secret, key (empty: all) and its file."""
        spec = self._spec
        yield "tls", spec.tls.secret_name, "", ""
        authority = spec.tls.client_authority
        keys: list[tuple[str, str, str, str]] = [
            ("client-authority", authority.secret_name, authority.key, "ca.crt")
        ]
        if spec.storage.type != "sqlite":
            keys += [
                _file("database", spec.storage.password_secret, "password"),
                _file("database-authority", spec.storage.ca_secret, "ca.crt"),
            ]
        if spec.redis.url:
            keys += [
                _file("redis", spec.redis.password_secret, "password"),
                _file("redis-authority", spec.redis.ca_secret, "ca.crt"),
            ]
        keys.append(("credentials", spec.credentials.secret_name, "", ""))
        yield from (each for each in keys if each[1])

    def _stateful_set(self, digest: str) -> Document:
        spec = self._spec
        return {
            "replicas": spec.replicas,
            "serviceName": f"{self._name}-pods",
            # All start at once: a sealed one is not ready, and would keep back the others.
            "podManagementPolicy": "Parallel",
            "updateStrategy": {"type": "RollingUpdate"},
            "selector": {"matchLabels": self._selector},
            "template": {
                "metadata": {
                    "labels": {**self._selector, **spec.pod_labels},
                    "annotations": {"checksum/settings": digest, **spec.pod_annotations},
                },
                "spec": self._pod(),
            },
            "volumeClaimTemplates": [self._claim(name) for name in self._volumes],
        }

    def _pod(self) -> Document:
        spec = self._spec
        secrets = list(self._secret_volumes())
        spread = [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": spec.topology_spread.when_unsatisfiable,
                "labelSelector": {"matchLabels": self._selector},
            }
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
            if spec.topology_spread.enabled
        ]
        return {
            "serviceAccountName": self._account,
            "automountServiceAccountToken": spec.kubernetes_auth.enabled,
            "enableServiceLinks": False,
            # Answers in flight, after the delay; then the end of the audit log is signed.
            "terminationGracePeriodSeconds": 75,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                # Else each start would let the group write to the database and the keys.
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **_given(
                topologySpreadConstraints=spread, nodeSelector=spec.node_selector,
                tolerations=spec.tolerations, affinity=spec.affinity,
                priorityClassName=spec.priority_class_name,
                imagePullSecrets=spec.image_pull_secrets,
            ),
            "containers": [self._container(secrets)],
            "volumes": [
                {"name": "settings", "configMap": {"name": self._name}},
                {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
                *(_secret_volume(*each) for each in secrets),
                *spec.extra_volumes,
            ],
        }  # fmt: skip

    def _container(self, secrets: list[tuple[str, str, str, str]]) -> Document:
        spec = self._spec
        image = spec.image
        tag = f"@{image.digest}" if image.digest else f":{image.tag or self._version}"
        folders = {"data": "freehold", "anchor": "freehold-anchor", "key": "freehold-key"}
        paths = {name: f"/var/lib/{folder}" for name, folder in folders.items()}
        paths["logs"] = "/var/log/freehold"
        return {
            "name": "agent",
            "image": f"{image.repository}{tag}",
            "imagePullPolicy": image.pull_policy,
            "args": ["agent", "serve", "--config", "/etc/freehold/vault.yaml"],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "privileged": False,
                "capabilities": {"drop": ["ALL"]},
            },
            "env": [*self._environment(), *spec.env],
            "ports": [{"name": "https", "containerPort": PORT, "protocol": "TCP"}],
            # Sealed is alive, not ready: a restart would not help it.
            "startupProbe": _probe("live", periodSeconds=2, failureThreshold=150),
            "livenessProbe": _probe("live", periodSeconds=10, timeoutSeconds=5, failureThreshold=6),
            "readinessProbe": _probe(
                "ready", periodSeconds=2, timeoutSeconds=2, failureThreshold=3
            ),
            "resources": {"requests": spec.resources.requests, "limits": spec.resources.limits},
            "volumeMounts": [
                {"name": "settings", "mountPath": "/etc/freehold", "readOnly": True},
                *({"name": name, "mountPath": paths[name]} for name in self._volumes),
                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # of the pod
                *(
                    {"name": name, "mountPath": f"/run/freehold/{name}", "readOnly": True}
                    for name, *_ in secrets
                ),
                *spec.extra_volume_mounts,
            ],
        }

    def _environment(self) -> Iterator[Document]:
        yield {"name": "FREEHOLD_CACERT", "value": "/run/freehold/tls/ca.crt"}
        if self._spec.credentials.secret_name:
            # The settings *_credential are files here, as those that systemd hands over.
            yield {"name": "CREDENTIALS_DIRECTORY", "value": "/run/freehold/credentials"}
        if self._settings["control_plane"].get("enabled"):
            source = {"fieldRef": {"fieldPath": "metadata.name"}}
            yield {"name": "FREEHOLD_AGENT_CONTROL_PLANE__LABEL", "valueFrom": source}

    def _claim(self, name: str) -> Document:
        volume = getattr(self._spec.persistence, name)
        return {
            "metadata": {"name": name, "labels": self._selector},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                **_given(storageClassName=volume.storage_class),
                "resources": {"requests": {"storage": volume.size}},
            },
        }


def agent_settings(spec: AgentSpec) -> dict[str, Any]:
    """`vault.yaml`: what Kubernetes objects follow from, and the resource's settings over it."""
    tls: dict[str, Any] = {
        "cert_file": "/run/freehold/tls/tls.crt",
        "key_file": "/run/freehold/tls/tls.key",
    }
    if spec.tls.client_authority.secret_name:
        tls |= {"ca_file": "/run/freehold/client-authority/ca.crt", "client_auth": "optional"}
    own: dict[str, Any] = {
        "server": {"listen": f"0.0.0.0:{PORT}", "drain_delay": spec.drain_delay, "tls": tls},
        "storage": _storage(spec),
        "encryption": {"key_file": f"{KEY_FOLDER}/root.key"}
        if spec.key_management == "file"
        else {"key_management": spec.key_management},
        "audit": {"log_file": "/var/log/freehold/audit.log"},
        "anchor": {"file": "/var/lib/freehold-anchor/vault.anchor"},
        "control_plane": {
            "certificate_path": "/var/lib/freehold/uplink/agent.crt",
            "private_key_path": "/var/lib/freehold/uplink/agent.key",
            "folder": "/var/lib/freehold/uplink",
        },
    }
    if spec.redis.url:
        redis: dict[str, Any] = {"url": spec.redis.url}
        if spec.redis.password_secret.name:
            redis["password_file"] = "/run/freehold/redis/password"
        if spec.redis.ca_secret.name:
            redis["tls"] = {"ca_file": "/run/freehold/redis-authority/ca.crt"}
        own["cache"] = {"redis": redis}
    return _merged(own, spec.settings)


def _storage(spec: AgentSpec) -> dict[str, Any]:
    storage = spec.storage
    if storage.type == "sqlite":
        place = "sqlite:////var/lib/freehold/vault.db"
        return {"type": storage.type, "connection_string": place}
    port = storage.port or DATABASE_PORTS[storage.type]
    place = f"{storage.type}://{storage.user}@{storage.host}:{port}/{storage.database}"
    found: dict[str, Any] = {"type": storage.type, "connection_string": place}
    if storage.password_secret.name:
        found["password_file"] = "/run/freehold/database/password"
    if storage.ca_secret.name:
        found["tls"] = {"ca_file": "/run/freehold/database-authority/ca.crt"}
    return found


def _merged(below: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for name, value in over.items():
        before = found.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            found[name] = _merged(before, value)
        else:
            found[name] = value
    return found


def _given(**fields: Any) -> Document:
    """The fields that are not empty."""
    return {name: value for name, value in fields.items() if value}


def _port(url: str, otherwise: int) -> int:
    try:
        return urlsplit(url).port or otherwise
    except ValueError:
        return otherwise


def _file(volume: str, secret: SecretKey, file: str) -> tuple[str, str, str, str]:
    return volume, secret.name, secret.key, file


def _service_port(port: int) -> Document:
    return {"name": "https", "port": port, "targetPort": "https", "protocol": "TCP"}


def _probe(path: str, **times: int) -> Document:
    get = {"path": f"/health/{path}", "port": "https", "scheme": "HTTPS"}
    return {"httpGet": get, **times}


def _secret_volume(name: str, secret: str, key: str, file: str) -> Document:
    found: Document = {"secretName": secret, "defaultMode": 0o440}
    return {
        "name": name,
        "secret": found | _given(items=[{"key": key, "path": file}] if key else []),
    }
