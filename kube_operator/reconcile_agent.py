"""`FreeholdAgent`: the objects of the chart by server-side apply, and how the pods are."""

import ssl
from collections.abc import Callable
from typing import Final

import httpx2
import msgspec
import trio
from msgspec import Struct

from actors import World
from kube_operator.agent_spec import AgentSpec, read_agent_spec
from kube_operator.api import KubernetesApi, read_body
from kube_operator.errors import (
    BodyTooLongError,
    ClusterError,
    ConflictError,
    InvalidObjectError,
    MissingError,
    ReconcileError,
    refusal,
)
from kube_operator.informer import ObjectStore
from kube_operator.manifests import PORT, agent_objects
from kube_operator.objects import AGENTS, APPLIED, OPTIONAL, Document, Key, is_being_deleted
from kube_operator.reconcile_secret import is_rolled_out
from kube_operator.status import Conditions, StatusWriter

PROGRESS_SECONDS: Final = 10.0  # until pods that are not ready are looked at again
IDLE_SECONDS: Final = 60.0
HEALTH_SECONDS: Final = 5.0
_MAX_HEALTH: Final = 64 << 10  # bytes

PodUrl = Callable[[Key, int], str]
"""The URL of a pod, by the name of its agent and its number."""


def pod_url(agent: Key, number: int) -> str:
    """The URL of a pod by the headless Service, as the cluster's DNS has it."""
    return f"https://{agent.name}-{number}.{agent.name}-pods.{agent.namespace}.svc:{PORT}"


class _Health(Struct, frozen=True):
    status: str


class AgentReconciler:
    """Brings about one `FreeholdAgent` at a time. `version`: of images that have no tag."""

    def __init__(
        self, api: KubernetesApi, informer: ObjectStore, world: World, version: str,
        find_pod: PodUrl = pod_url,
    ) -> None:  # fmt: skip
        self._api = api
        self._informer = informer
        self._world = world
        self._version = version
        self._find_pod = find_pod
        self._status = StatusWriter(api, AGENTS, world)

    async def reconcile(self, key: Key) -> float | None:
        """Seconds until it is looked at again. Raises `ClusterError`."""
        document = self._informer.get(key)
        if document is None or is_being_deleted(document):
            return None  # its objects go with it; the volumes' claims stay
        conditions = Conditions(document, self._world)
        status: Document = {}
        try:
            spec = read_agent_spec(document)
            found = await self._apply(document, spec)
            is_ready = await self._look(key, spec, found, status, conditions)
        except (ReconcileError, ClusterError) as fault:
            error = refusal(fault)
            conditions.set("Ready", "False", error.reason, error.message)
            is_ready = False
        await self._status.write(document, status, conditions)
        seconds = IDLE_SECONDS if is_ready else PROGRESS_SECONDS
        return seconds * (1 + self._world.jitter() / 2)

    async def _apply(self, document: Document, spec: AgentSpec) -> Document:
        """The StatefulSet as it is now. Raises `ReconcileError` where one is refused."""
        found: Document = {}
        objects = agent_objects(document, spec, self._version)
        wanted = {(each["kind"], each["metadata"]["name"]) for each in objects}
        for each in objects:
            kind, namespace = each["kind"], each["metadata"]["namespace"]
            try:
                found = await self._api.apply(APPLIED[kind], namespace, each)
            except InvalidObjectError:
                text = f"the API server refuses the {kind}: a value of spec is not one it takes"
                if kind == "StatefulSet":
                    text += ", or sizes of volumes were changed, which takes new claims"
                raise ReconcileError("Refused", text) from None
        await self._remove_others(document, wanted)
        return found

    async def _remove_others(self, document: Document, wanted: set[tuple[str, str]]) -> None:
        """What was made once, and was switched off since. Of other owners nothing is deleted."""
        metadata = document["metadata"]
        for resource in OPTIONAL:
            if (resource.kind, metadata["name"]) in wanted:
                continue
            try:
                found = await self._api.read(resource, metadata["namespace"], metadata["name"])
                owners = found["metadata"].get("ownerReferences") or []
                if any(owner["uid"] == metadata["uid"] for owner in owners):
                    uid = found["metadata"]["uid"]
                    await self._api.delete(resource, metadata["namespace"], metadata["name"], uid)
            except (MissingError, ConflictError):
                continue

    async def _look(
        self, key: Key, spec: AgentSpec, stateful_set: Document, status: Document,
        conditions: Conditions,
    ) -> bool:  # fmt: skip
        """Look at StatefulSet and pods; returns whether all are up to date and answer."""
        states: list[str] = [""] * spec.replicas
        async with trio.open_nursery() as nursery:
            for number in range(spec.replicas):
                nursery.start_soon(self._ask, key, number, states)
        sealed = [number for number, state in enumerate(states) if state == "sealed"]
        unknown = states.count("")
        status["replicas"] = spec.replicas
        status["readyReplicas"] = stateful_set.get("status", {}).get("readyReplicas", 0)
        status["pods"] = [
            {"name": f"{key.name}-{number}", "state": state or "unknown"}
            for number, state in enumerate(states)
        ]
        if sealed:
            text = ", ".join(f"{key.name}-{number}" for number in sealed)
            conditions.set("Sealed", "True", "Sealed", f"unseal {text}: freehold operator unseal")
        elif "uninitialized" in states:
            conditions.set("Sealed", "True", "Uninitialized", "run freehold operator init in a pod")
        elif unknown:
            conditions.set("Sealed", "Unknown", "NotReached", f"{unknown} pods do not answer")
        else:
            conditions.set("Sealed", "False", "Unsealed")
        rolled_out = is_rolled_out(stateful_set)
        if rolled_out:
            conditions.set("Progressing", "False", "RolledOut")
        else:
            conditions.set("Progressing", "True", "RollingOut")
        if rolled_out:
            status["version"] = spec.image.tag or spec.image.digest or self._version
        ready = status["readyReplicas"]
        enough = ready >= spec.replicas
        message = f"{ready} of {spec.replicas} pods are ready"
        if enough:
            conditions.set("Ready", "True", "Ready", message)
        else:
            conditions.set("Ready", "False", "NotReady", message)
        return enough and rolled_out

    async def _ask(self, key: Key, number: int, states: list[str]) -> None:
        """What a pod says of itself. As kubelets do, without a look at its certificate.

        Nothing secret is sent, and what it says is shown and decides nothing.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        url = f"{self._find_pod(key, number)}/health/ready"
        try:
            async with (
                httpx2.AsyncClient(
                    verify=context, trust_env=False, timeout=HEALTH_SECONDS, follow_redirects=False
                ) as http,
                http.stream("GET", url) as reply,
            ):
                answer = await read_body(reply, _MAX_HEALTH)
            states[number] = msgspec.json.decode(answer, type=_Health).status
        except (httpx2.HTTPError, msgspec.MsgspecError, BodyTooLongError):
            return
