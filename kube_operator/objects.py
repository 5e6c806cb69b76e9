"""Objects of the Kubernetes API: where each kind lives, and what is read of every object."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import quote

GROUP: Final = "freehold.dev"
VERSION: Final = "v1alpha1"
MANAGER: Final = "freehold-operator"
"""The field manager of server-side apply, and the component of events."""

Document = dict[str, Any]
"""An object as JSON."""


class Key(NamedTuple):
    """Names an object of a kind; `namespace` is empty for those of the whole cluster."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Resource:
    """A kind of object. `group` is empty for the core's."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """`apiVersion`, as objects of this kind have it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Of the collection, an object or its subresource; without a namespace, of all."""
        parts = ["apis", self.group] if self.group else ["api"]
        parts.append(self.version)
        if namespace:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part]
        return "/" + "/".join(quote(part, safe="") for part in parts)


AGENTS: Final = Resource(GROUP, VERSION, "freeholdagents", "FreeholdAgent")
SECRETS: Final = Resource(GROUP, VERSION, "freeholdsecrets", "FreeholdSecret")
POLICIES: Final = Resource(GROUP, VERSION, "freeholdpolicies", "FreeholdPolicy")
CORE_SECRETS: Final = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS: Final = Resource("", "v1", "configmaps", "ConfigMap")
SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")
SERVICES: Final = Resource("", "v1", "services", "Service")
STATEFUL_SETS: Final = Resource("apps", "v1", "statefulsets", "StatefulSet")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment")
DAEMON_SETS: Final = Resource("apps", "v1", "daemonsets", "DaemonSet")
BUDGETS: Final = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
NETWORK_POLICIES: Final = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS: Final = Resource("events.k8s.io", "v1", "events", "Event")

WORKLOADS: Final = {each.kind: each for each in (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)}
APPLIED: Final = {
    each.kind: each
    for each in (
        SERVICE_ACCOUNTS, CONFIG_MAPS, SERVICES, BUDGETS, NETWORK_POLICIES, STATEFUL_SETS,
    )
}  # fmt: skip
"""What a `FreeholdAgent` is made of."""
OPTIONAL: Final = (SERVICE_ACCOUNTS, BUDGETS, NETWORK_POLICIES)
"""The kinds of `FreeholdAgent` objects that `spec` can switch off."""


def key_of(document: Mapping[str, Any]) -> Key:
    """The name of an object."""
    metadata = document["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def owner_reference(owner: Mapping[str, Any]) -> Document:
    """The `ownerReferences` entry of an object that is deleted with its owner."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,  # true takes `update` on the owner's finalizers
    }


def is_being_deleted(document: Mapping[str, Any]) -> bool:
    """Whether it only waits for its finalizers."""
    return "deletionTimestamp" in document["metadata"]
