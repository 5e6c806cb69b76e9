"""`FreeholdSecret`: secrets of an agent become a Secret, and pods are replaced when they change.

The operator has no right to read a Secret of the cluster. It creates one, keeps its uid in the
status of the resource, and replaces the Secret of that uid from then on (the API server takes a
uid in a replacement as a precondition). So a Secret of somebody else is neither read nor changed.
A patch would do, too, but who may patch is answered with the object, and so may read.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import trio

from actors import World
from kube_operator.agents import Agents, AgentSession, SecretValue
from kube_operator.api import KubernetesApi
from kube_operator.errors import (
    ClusterError,
    ConflictError,
    InvalidObjectError,
    MissingError,
    ReconcileError,
    SpecError,
    refusal,
)
from kube_operator.informer import ObjectStore
from kube_operator.objects import (
    CORE_SECRETS,
    GROUP,
    MANAGER,
    SECRETS,
    WORKLOADS,
    Document,
    Key,
    is_being_deleted,
    owner_reference,
)
from kube_operator.specs import MAX_ITEMS, SecretSpec, Workload, read_spec, seconds
from kube_operator.status import Conditions, StatusWriter, timestamp
from protocols.instant import SECOND, parse_rfc3339

MAX_BYTES: Final = 1 << 20  # of a Secret's data, as the API server allows
REVISIONS: Final = f"{GROUP}/revisions"
"""The annotation that says which versions a Secret holds."""
PROGRESS_SECONDS: Final = 5.0  # until a roll-out that is under way is looked at again
_RETRY: Final = 30.0  # seconds, with jitter, until a failed resource is looked at again
MAX_NAME: Final = 63  # characters of an annotation's name, without its prefix
_KEY: Final = re.compile(r"[A-Za-z0-9._-]{1,253}\Z", re.ASCII)


class SecretReconciler:
    """Brings about one `FreeholdSecret` at a time."""

    def __init__(
        self, api: KubernetesApi, agents: Agents, informer: ObjectStore, world: World
    ) -> None:
        self._api = api
        self._agents = agents
        self._informer = informer
        self._world = world
        self._status = StatusWriter(api, SECRETS, world)
        self._made: dict[Key, tuple[str, str, str]] = {}
        """Of each resource its uid, the name of the Secret that was made, and the uid of that: a
        status may be written late."""

    async def reconcile(self, key: Key) -> float | None:
        """Seconds until it is looked at again. Raises `ClusterError`."""
        document = self._informer.get(key)
        user = (SECRETS.kind, key)
        if document is None or is_being_deleted(document):
            self._agents.close(user)  # the Secret goes with its owner, or stays
            self._made.pop(key, None)
            return None
        conditions = Conditions(document, self._world)
        status: Document = {}
        try:
            return await self._bring_about(document, status, conditions)
        except (ReconcileError, ClusterError) as fault:
            error = refusal(fault)
            if error.is_lasting:
                self._agents.close(user)
            conditions.set("Ready", "False", error.reason, error.message)
            self._judge_staleness(document, conditions)
            await self._status.write(document, status, conditions)
            return _RETRY * (1 + self._world.jitter())

    async def _bring_about(
        self, document: Document, status: Document, conditions: Conditions
    ) -> float:
        spec = read_spec(document, SecretSpec)
        refresh = seconds(spec.refresh_interval, "refreshInterval", least=10)
        seconds(spec.stale_after, "staleAfter", least=60)
        key = Key(document["metadata"]["namespace"], document["metadata"]["name"])
        if not spec.paths:
            raise SpecError("InvalidSpec", "spec: data and dataFrom are empty")
        identity = await self._agents.identify(spec.agent, key.namespace)
        session = await self._agents.open((SECRETS.kind, key), identity, spec.paths)
        values = {path: await session.read_secret(path) for path in spec.paths}
        revisions = " ".join(
            f"{path}={value.version}@{value.updated_at}" for path, value in values.items()
        )
        await self._empty_former(document, spec)
        uid = await self._write(document, spec, _data(spec, values), revisions)
        now = timestamp(self._world)
        before = document.get("status", {})
        versions = [{"path": path, "version": value.version} for path, value in values.items()]
        is_new = before.get("secrets") != versions
        status |= {
            "secretName": spec.target.name or key.name,
            "secretUid": uid,
            "secrets": versions,
            "verifiedAt": now,
            "syncedAt": now if is_new else before.get("syncedAt", now),
        }
        conditions.set("Stale", "False", "Verified")
        conditions.set("Ready", "True", "Synced")
        delay = await self._roll_out(document, spec, revisions, status, conditions)
        if conditions.reason("Adopted") == "RolledOut":
            await self._acknowledge(session, before, versions, status, conditions)
        await self._status.write(document, status, conditions)
        return delay or refresh * (1 + self._world.jitter() / 10)

    async def _write(
        self, owner: Document, spec: SecretSpec, data: Mapping[str, str], revisions: str
    ) -> str:
        """The uid of the Secret. Raises `ReconcileError` where there is one that is not ours."""
        metadata, target = owner["metadata"], spec.target
        name = target.name or metadata["name"]
        key = Key(metadata["namespace"], metadata["name"])
        labels = {**target.labels, "app.kubernetes.io/managed-by": MANAGER}
        annotations = {**target.annotations, REVISIONS: revisions}
        owners = [owner_reference(owner)] if target.deletion_policy == "Delete" else []
        body = _secret(metadata["namespace"], name, target.type, data)
        body["metadata"] |= {
            "labels": labels, "annotations": annotations, "ownerReferences": owners
        }  # fmt: skip
        status = owner.get("status", {})
        known = status.get("secretUid", "") if status.get("secretName") == name else ""
        made = self._made.get(key, ("", "", ""))
        uid = made[2] if made[:2] == (metadata["uid"], name) else known or target.uid
        try:
            if uid and (found := await self._replace(body, uid)) is not None:
                return uid
            with trio.CancelScope(shield=True):  # else nobody would know whose it is
                found = await self._api.create(CORE_SECRETS, metadata["namespace"], body)
                uid = found["metadata"]["uid"]
                self._made[key] = (metadata["uid"], name, uid)
                marked = {"status": {"secretName": name, "secretUid": uid}}
                await self._api.patch(
                    SECRETS, metadata["namespace"], metadata["name"], marked, part="status"
                )
        except ConflictError:
            text = (
                f"there is a Secret {name} that is not of this resource: delete it, choose "
                "another spec.target.name, or give its uid as spec.target.uid"
            )
            raise ReconcileError("SecretNotOwned", text) from None
        except InvalidObjectError:
            text = f"the Secret {name} is immutable, of another type, or no {target.type}"
            raise ReconcileError("SecretRefused", text) from None
        return uid

    async def _replace(self, body: Document, uid: str) -> Document | None:
        """The Secret of that uid as it is from now on; None where there is no Secret of the name.

        Raises `ConflictError` where another one has it.
        """
        metadata = body["metadata"]
        marked = {**body, "metadata": {**metadata, "uid": uid}}
        try:
            return await self._api.replace(
                CORE_SECRETS, metadata["namespace"], metadata["name"], marked
            )
        except MissingError:
            return None

    async def _empty_former(self, document: Document, spec: SecretSpec) -> None:
        """The Secret of an earlier `target.name` keeps no value. It goes with its resource."""
        metadata, status = document["metadata"], document.get("status", {})
        former, uid = status.get("secretName", ""), status.get("secretUid", "")
        if not uid or former == (spec.target.name or metadata["name"]):
            return
        if spec.target.deletion_policy == "Retain":
            return
        body = _secret(metadata["namespace"], former, spec.target.type, {})
        body["metadata"]["ownerReferences"] = [owner_reference(document)]
        try:
            await self._replace(body, uid)
        except (ConflictError, InvalidObjectError):
            return  # it is somebody else's by now, or cannot be empty

    async def _roll_out(
        self, document: Document, spec: SecretSpec, revisions: str, status: Document,
        conditions: Conditions,
    ) -> float | None:  # fmt: skip
        """Have pods replaced that were started with other versions.

        Returns the seconds until it is looked at again, None if all is done.
        """
        if not spec.rollout:
            conditions.set("Adopted", "Unknown", "NoWorkloads", "spec.rollout names none")
            return None
        metadata = document["metadata"]
        name = f"secret.{metadata['name']}"
        annotation = f"{GROUP}/{name if len(name) <= MAX_NAME else 'secret.' + metadata['uid']}"
        states = [
            {"kind": each.kind, "name": each.name, "state": state}
            for each in spec.rollout
            for state in [await self._restart(document, each, annotation, revisions)]
        ]
        status["workloads"] = states
        waiting = [each for each in states if each["state"] != "RolledOut"]
        if not waiting:
            conditions.set("Adopted", "True", "RolledOut")
            return None
        named = ", ".join(f"{each['kind']} {each['name']}: {each['state']}" for each in waiting)
        conditions.set("Adopted", "False", "Progressing", named)
        return PROGRESS_SECONDS * (1 + self._world.jitter() / 2)

    async def _restart(
        self, document: Document, workload: Workload, annotation: str, revisions: str
    ) -> str:
        """Set the annotation of its pods; what has become of them."""
        resource, namespace = WORKLOADS[workload.kind], document["metadata"]["namespace"]
        try:
            found = await self._api.read(resource, namespace, workload.name)
            template = found["spec"]["template"].get("metadata") or {}
            if (template.get("annotations") or {}).get(annotation) != revisions:
                change = {"metadata": {"annotations": {annotation: revisions}}}
                patch = {"spec": {"template": change}}
                found = await self._api.patch(resource, namespace, workload.name, patch)
        except MissingError:
            return "Missing"
        return "RolledOut" if is_rolled_out(found) else "Progressing"

    async def _acknowledge(
        self, session: AgentSession, before: Document, versions: list[Document],
        status: Document, conditions: Conditions,
    ) -> None:  # fmt: skip
        """Each version once, when all pods run with it. A failure is in the condition."""
        done = before.get("acknowledged") or []
        try:
            for each in versions:
                if each not in done:
                    await session.acknowledge(each["path"], each["version"])
        except ReconcileError as error:
            conditions.set("Adopted", "True", "NotAcknowledged", error.message)
            status["acknowledged"] = done
        else:
            status["acknowledged"] = versions

    def _judge_staleness(self, document: Document, conditions: Conditions) -> None:
        """The Secret stays as it is; how old that is, is said."""
        verified = document.get("status", {}).get("verifiedAt")
        if verified is None:
            conditions.set("Stale", "True", "NeverSynced")
            return
        try:
            after = seconds(read_spec(document, SecretSpec).stale_after, "staleAfter", least=60)
        except SpecError:
            after = 0.0
        age = (self._world.now() - parse_rfc3339(verified, "verifiedAt")) / SECOND
        if age >= after:
            conditions.set("Stale", "True", "NotVerified", f"last verified at {verified}")


def is_rolled_out(workload: Mapping[str, Any]) -> bool:
    """Whether all pods are of the present template, and serve (as `kubectl rollout status`)."""
    spec, status = workload["spec"], workload.get("status", {})
    generation = workload["metadata"].get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        return False
    if workload["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        updated, serving = "updatedNumberScheduled", "numberAvailable"
    else:
        wanted = spec.get("replicas", 1)
        updated = "updatedReplicas"
        serving = "availableReplicas" if workload["kind"] == "Deployment" else "readyReplicas"
        if status.get("replicas", 0) > wanted:  # old pods are still there
            return False
    return bool(status.get(updated, 0) >= wanted and status.get(serving, 0) >= wanted)


def _data(spec: SecretSpec, values: Mapping[str, SecretValue]) -> dict[str, str]:
    """The Secret's data: later entries win, and single keys over whole secrets.

    Raises `ReconcileError`, which names keys and fields and no value.
    """
    found: dict[str, bytes] = {}
    for source in spec.data_from:
        value = values[source.path].value
        if not isinstance(value, dict):
            text = f"{source.path} is no object: name a key for it in spec.data"
            raise ReconcileError("NoFields", text)
        found |= {_checked(name, source.path): _bytes(item) for name, item in value.items()}
    for item in spec.data:
        found[item.key] = _bytes(_field(item.path, values[item.path].value, item.field))
    if len(found) > MAX_ITEMS or sum(map(_size, found.items())) > MAX_BYTES:
        text = f"a Secret has at most {MAX_ITEMS} keys and {MAX_BYTES} bytes"
        raise ReconcileError("TooLarge", text)
    return {name: base64.b64encode(each).decode() for name, each in found.items()}


def _secret(namespace: str, name: str, kind: str, data: Mapping[str, str]) -> Document:
    metadata: Document = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata, "data": data}


def _size(item: tuple[str, bytes]) -> int:
    return len(item[0]) + len(item[1])


def _checked(name: str, path: str) -> str:
    if not _KEY.match(name):
        text = f"a field of {path} cannot be a key of a Secret: name a key for it in spec.data"
        raise ReconcileError("InvalidKey", text)
    return name


def _field(path: str, value: Any, field: str) -> Any:
    if not field:
        return value
    if not isinstance(value, dict) or field not in value:
        raise ReconcileError("NoField", f"{path} has no field {field}")
    return value[field]


def _bytes(value: Any) -> bytes:
    """Text as it is, all else as JSON."""
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)
