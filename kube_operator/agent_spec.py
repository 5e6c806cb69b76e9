"""`spec` of a `FreeholdAgent`: the values of the chart freehold-agent that make sense without Helm.

What is left out is as in the chart's `values.yaml`.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct, field

from kube_operator.errors import SpecError
from kube_operator.objects import Document
from kube_operator.specs import DataKey, Name, NameOrNone, read_spec

MAX_NAME: Final = 40  # characters of an agent's name: pods and claims have more behind it
_QUANTITY: Final = r"^[1-9][0-9]*(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)$"
_Size = Annotated[str, Meta(pattern=_QUANTITY)]


class Image(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The image. `digest` replaces the tag; without either, the tag is this version."""

    repository: Annotated[str, Meta(min_length=1, pattern=r"^[^\s@]+$")] = (
        "localhost/freehold-agent"
    )
    tag: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,128}$")] = ""
    digest: Annotated[str, Meta(pattern=r"^(sha256:[0-9a-f]{64})?$")] = ""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"


class SecretKey(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A key of a Secret; without `name` it is not used."""

    key: DataKey
    name: NameOrNone = ""


class Password(SecretKey, frozen=True):
    """A password in a Secret; its key is `password` by default."""

    key: DataKey = "password"


class Authority(SecretKey, frozen=True):
    """A certificate authority in a Secret; its key is `ca.crt` by default."""

    key: DataKey = "ca.crt"


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A Secret whose keys are files in /run/freehold/credentials."""

    secret_name: NameOrNone = ""


class Storage(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Where the data is: in a file of each agent's own, or in one database for all."""

    type: Literal["sqlite", "postgresql", "mysql"] = "sqlite"
    host: str = ""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    database: str = "freehold"
    user: str = "freehold"
    password_secret: Password = Password()
    ca_secret: Authority = Authority()


class Redis(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Rate limits that several agents share."""

    url: Annotated[str, Meta(pattern=r"^(rediss?://[^\s@:]*@?[^\s@/]+)?$")] = ""
    password_secret: Password = Password()
    ca_secret: Authority = Authority()


class ClientAuthority(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The authority that clients' certificates are verified against."""

    secret_name: NameOrNone = ""
    key: DataKey = "ca.crt"


class Tls(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A Secret with `tls.crt`, `tls.key` and `ca.crt`, made by cert-manager or by people."""

    secret_name: Name
    client_authority: ClientAuthority = ClientAuthority()


class Service(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The Service that clients connect to."""

    type: Literal["ClusterIP", "LoadBalancer", "NodePort"] = "ClusterIP"
    port: Annotated[int, Meta(ge=1, le=65_535)] = 8200
    annotations: dict[str, str] = {}
    load_balancer_source_ranges: list[str] = []


class Volume(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A volume of each replica. It stays when the resource is deleted."""

    size: _Size
    storage_class: str = ""


class Persistence(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Database, audit log, anchor, and a key file where there is one."""

    data: Volume = Volume("10Gi")
    logs: Volume = Volume("20Gi")
    anchor: Volume = Volume("64Mi")
    key: Volume = Volume("64Mi")


def _requests() -> dict[str, Any]:
    return {"cpu": "500m", "memory": "1Gi"}


def _limits() -> dict[str, Any]:
    return {"memory": "1Gi"}


class Resources(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Requests and limits of each pod."""

    requests: dict[str, Any] = field(default_factory=_requests)
    limits: dict[str, Any] = field(default_factory=_limits)


class Budget(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How many of several pods may be drained at once."""

    enabled: bool = True
    max_unavailable: int | str = 1


class Spread(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How pods are spread over nodes and zones."""

    enabled: bool = True
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = "ScheduleAnyway"


def _clients() -> list[Document]:
    return [{"podSelector": {}}]


def _monitoring() -> list[Document]:
    labels = {"kubernetes.io/metadata.name": "monitoring"}
    return [{"namespaceSelector": {"matchLabels": labels}}]


class Network(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The NetworkPolicy: who may connect to the agents, and further egress rules."""

    enabled: bool = True
    clients: list[Document] = field(default_factory=_clients)
    monitoring: list[Document] = field(default_factory=_monitoring)
    egress: list[Document] = []


class Account(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The service account of the pods."""

    create: bool = True
    name: NameOrNone = ""
    annotations: dict[str, str] = {}


class KubernetesAuth(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The pods have a token of the API server. People bind the account to a role."""

    enabled: bool = False


class AgentSpec(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """`spec` of a `FreeholdAgent`."""

    tls: Tls
    image: Image = Image()
    image_pull_secrets: list[Document] = []
    replicas: Annotated[int, Meta(ge=1, le=100)] = 1
    drain_delay: Annotated[str, Meta(pattern=r"^(30|[12][0-9]|[1-9])s$")] = "6s"
    settings: dict[str, Any] = {}
    credentials: Credentials = Credentials()
    storage: Storage = Storage()
    redis: Redis = Redis()
    service: Service = Service()
    persistence: Persistence = Persistence()
    resources: Resources = Resources()
    pod_disruption_budget: Budget = Budget()
    topology_spread: Spread = Spread()
    node_selector: dict[str, str] = {}
    tolerations: list[Document] = []
    affinity: Document = {}
    priority_class_name: str = ""
    network_policy: Network = Network()
    service_account: Account = Account()
    kubernetes_auth: KubernetesAuth = KubernetesAuth()
    pod_annotations: dict[str, str] = {}
    pod_labels: dict[str, str] = {}
    env: list[Document] = []
    extra_volumes: list[Document] = []
    extra_volume_mounts: list[Document] = []

    @property
    def key_management(self) -> str:
        """How the agents are unsealed."""
        found = self.settings.get("encryption", {})
        return str(found.get("key_management", "shamir"))


def read_agent_spec(document: Document) -> AgentSpec:
    """The `spec` of a resource, and what its parts say together. Raises `SpecError`."""
    spec = read_spec(document, AgentSpec)
    if len(document["metadata"]["name"]) > MAX_NAME:
        raise SpecError("InvalidSpec", f"metadata.name: has at most {MAX_NAME} characters")
    for name in ("encryption", "backup", "control_plane", "monitoring"):
        if not isinstance(spec.settings.get(name, {}), dict):
            raise SpecError("InvalidSpec", f"spec.settings.{name}: is no object")
    if "type" in spec.settings.get("storage", {}):
        raise SpecError("InvalidSpec", "spec.settings.storage.type: is that of spec.storage")
    is_shared = spec.storage.type != "sqlite"
    if is_shared and not spec.storage.host:
        raise SpecError("InvalidSpec", "spec.storage.host: is missing")
    if (spec.replicas > 1 or spec.redis.url) and not is_shared:
        text = "spec.storage.type: several agents, and Redis, take postgresql or mysql"
        raise SpecError("InvalidSpec", text)
    if spec.replicas > 1 and spec.key_management == "file":
        text = "spec.settings.encryption.key_management: several agents take no key file"
        raise SpecError("InvalidSpec", text)
    return spec
