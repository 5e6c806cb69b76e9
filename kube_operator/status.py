"""Conditions and events: what people see of a resource. No value, and nothing made from one."""

from typing import Any, Final, Literal

from actors import World
from kube_operator.api import KubernetesApi
from kube_operator.errors import ClusterError, MissingError
from kube_operator.objects import EVENTS, MANAGER, Document, Resource
from protocols.instant import SECOND, rfc3339

MAX_MESSAGE: Final = 1024  # characters; Kubernetes allows 32,768 in conditions and 1,024 in events


Truth = Literal["True", "False", "Unknown"]


class Conditions:
    """The conditions of one resource, as they were and as they become.

    https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md
    """

    def __init__(self, document: Document, world: World) -> None:
        found = document.get("status", {}).get("conditions", [])
        self._found: dict[str, dict[str, Any]] = {each["type"]: each for each in found}
        self.generation = document["metadata"].get("generation", 0)
        self._now = timestamp(world)

    def set(self, kind: str, status: Truth, reason: str, message: str = "") -> None:
        """The time of the last transition is that of the last other status."""
        before = self._found.get(kind, {})
        changed = before.get("status") != status
        self._found[kind] = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message[:MAX_MESSAGE],
            "observedGeneration": self.generation,
            "lastTransitionTime": self._now if changed else before["lastTransitionTime"],
        }

    def reason(self, kind: str) -> str:
        """The reason of a condition; empty where there is none."""
        return str(self._found.get(kind, {}).get("reason", ""))

    def to_list(self) -> list[Document]:
        """All conditions."""
        return list(self._found.values())


def timestamp(world: World) -> str:
    """Now, in whole seconds as Kubernetes' Time has it."""
    return rfc3339(world.now() // SECOND * SECOND)


class StatusWriter:
    """Writes the status of resources of a kind, where it is another one, and tells of changes."""

    def __init__(self, api: KubernetesApi, resource: Resource, world: World) -> None:
        self._api = api
        self._resource = resource
        self._world = world

    async def write(self, document: Document, status: Document, conditions: Conditions) -> None:
        """A merge patch of the status. An event, where the reason of `Ready` is another one.

        A resource that is gone has no status. Raises `ClusterError`.
        """
        before = document.get("status", {})
        generation = document["metadata"].get("generation", 0)
        after = {**status, "conditions": conditions.to_list(), "observedGeneration": generation}
        if all(before.get(name) == value for name, value in after.items()):
            return
        metadata = document["metadata"]
        try:
            await self._api.patch(
                self._resource, metadata["namespace"], metadata["name"], {"status": after},
                part="status",
            )  # fmt: skip
        except MissingError:
            return
        ready = next((each for each in after["conditions"] if each["type"] == "Ready"), None)
        if ready and ready["reason"] != Conditions(document, self._world).reason("Ready"):
            await self._tell(document, ready)

    async def _tell(self, document: Document, ready: Document) -> None:
        metadata = document["metadata"]
        name = f"{metadata['name'][:200]}.{self._world.new_id()}"
        event = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "eventTime": f"{timestamp(self._world).removesuffix('Z')}.000000Z",
            "reportingController": f"freehold.dev/{MANAGER}",
            "reportingInstance": MANAGER,
            "action": "Reconcile",
            "reason": ready["reason"],
            "note": ready["message"] or ready["reason"],
            "type": "Normal" if ready["status"] == "True" else "Warning",
            "regarding": {
                "apiVersion": self._resource.api_version,
                "kind": self._resource.kind,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
        }
        try:
            await self._api.create(EVENTS, metadata["namespace"], event)
        except ClusterError:  # nothing depends on an event
            return
