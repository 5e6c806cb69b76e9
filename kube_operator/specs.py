"""What people write into the custom resources; the CRDs of the chart say the same.

Names are as in the resources, so that `msgspec` reads them without a second list.
"""

from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from kube_operator.errors import SpecError
from kube_operator.objects import Document
from protocols.errors import ValidationError
from protocols.instant import SECOND, parse_duration

MAX_ITEMS: Final = 256  # keys of one Secret
MAX_PATHS: Final = 64  # secrets that one resource reads; a wait of the agent is for as many

_NAME: Final = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
Name = Annotated[str, Meta(pattern=_NAME)]
NameOrNone = Annotated[str, Meta(pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$")]
DataKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,253}$")]
SecretPath = Annotated[str, Meta(min_length=1, max_length=512)]

S = TypeVar("S", bound=Struct)


class ConfigMapKey(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A key of a ConfigMap of the same namespace."""

    name: Name
    key: DataKey = "ca.crt"


class AgentTarget(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Which agent, and whom it is asked as: a service account of the resource's namespace.

    `ca`: who vouches for its certificate; else the system's authorities. `mount` and `role`: of
    its auth method `kubernetes`. `audience`: of the token that it is shown.
    """

    address: Annotated[str, Meta(pattern=r"^https?://[A-Za-z0-9.:\[\]_-]{1,255}$")]
    role: Annotated[str, Meta(min_length=1, max_length=128)]
    service_account: Name = "default"
    mount: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$")] = "kubernetes"
    audience: Annotated[str, Meta(min_length=1, max_length=255)] = "freehold"
    ca: ConfigMapKey | None = None


class DataItem(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A key of the Secret: a field of a secret, or its whole value."""

    key: DataKey
    path: SecretPath
    field: str = ""


class DataSource(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """All fields of a secret, each a key."""

    path: SecretPath


class Target(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The Secret that is made. `deletion_policy`: whether it goes with its resource.

    `uid`: of a Secret that is there already, and is taken over.
    """

    name: Name | None = None
    type: str = "Opaque"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_policy: Literal["Delete", "Retain"] = "Delete"
    uid: Annotated[str, Meta(pattern=r"^[0-9a-f-]{0,36}$")] = ""


class Workload(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A workload whose pods are replaced when the Secret changes."""

    kind: Literal["Deployment", "StatefulSet", "DaemonSet"]
    name: Name


class SecretSpec(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`spec` of a `FreeholdSecret`."""

    agent: AgentTarget
    data: Annotated[tuple[DataItem, ...], Meta(max_length=MAX_ITEMS)] = ()
    data_from: Annotated[tuple[DataSource, ...], Meta(max_length=MAX_PATHS)] = ()
    target: Target = Target()
    rollout: Annotated[tuple[Workload, ...], Meta(max_length=64)] = ()
    refresh_interval: str = "10m"
    stale_after: str = "1h"

    @property
    def paths(self) -> list[str]:
        """The paths of all secrets that are read, in their order."""
        paths = [each.path for each in self.data]
        return list(dict.fromkeys([*paths, *(each.path for each in self.data_from)]))


class PolicySpec(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`spec` of a `FreeholdPolicy`: a document of the agent's, or a text in Vault's language.

    `policy_name`: default `NAMESPACE.NAME`. `take_over`: replace a policy that is there already.
    """

    agent: AgentTarget
    policy_name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$")] | None = None
    policy: dict[str, Any] | None = None
    acl: Annotated[str, Meta(max_length=262_144)] | None = None
    deletion_policy: Literal["Delete", "Retain"] = "Delete"
    take_over: bool = False
    refresh_interval: str = "5m"


def read_spec(document: Document, kind: type[S]) -> S:
    """The `spec` of a resource. Raises `SpecError`."""
    try:
        return msgspec.convert(document.get("spec", {}), kind)
    except msgspec.ValidationError as error:
        raise SpecError("InvalidSpec", f"spec: {error}") from None


def seconds(text: str, field: str, *, least: float) -> float:
    """A duration. Raises `SpecError`."""
    try:
        found = parse_duration(text, field) / SECOND
    except ValidationError as error:
        raise SpecError("InvalidSpec", f"spec.{field}: {error.message}") from None
    if found < least:
        raise SpecError("InvalidSpec", f"spec.{field}: is less than {least:g}s")
    return found
