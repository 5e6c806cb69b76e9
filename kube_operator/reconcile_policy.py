"""`FreeholdPolicy`: a policy of an agent is what the resource says, also after a change there.

A finalizer keeps a resource that is deleted until its policy is deleted, too.
"""

from typing import Any, Final

from actors import World
from kube_operator.agents import Agents, AgentSession
from kube_operator.api import KubernetesApi
from kube_operator.errors import (
    ClusterError,
    MissingError,
    ReconcileError,
    SpecError,
    refusal,
)
from kube_operator.informer import ObjectStore
from kube_operator.objects import GROUP, POLICIES, Document, Key, is_being_deleted
from kube_operator.specs import PolicySpec, read_spec, seconds
from kube_operator.status import Conditions, StatusWriter, timestamp

FINALIZER: Final = f"{GROUP}/policy"
_RETRY: Final = 30.0  # seconds until a failed resource is looked at again
_EDITION: Final = frozenset({"version", "updated_at"})
"""Fields that the agent adds to a policy; a comparison leaves them out."""


class PolicyReconciler:
    """Brings about one `FreeholdPolicy` at a time."""

    def __init__(
        self, api: KubernetesApi, agents: Agents, informer: ObjectStore, world: World
    ) -> None:
        self._api = api
        self._agents = agents
        self._informer = informer
        self._world = world
        self._status = StatusWriter(api, POLICIES, world)

    async def reconcile(self, key: Key) -> float | None:
        """Seconds until it is looked at again. Raises `ClusterError`."""
        document = self._informer.get(key)
        if document is None:
            self._agents.close((POLICIES.kind, key))
            return None
        conditions = Conditions(document, self._world)
        status: Document = {}
        try:
            if is_being_deleted(document):
                await self._remove(document)
                return None
            delay = await self._bring_about(document, status, conditions)
        except (ReconcileError, ClusterError) as fault:
            error = refusal(fault)
            conditions.set("Ready", "False", error.reason, error.message)
            delay = _RETRY * (1 + self._world.jitter())
        await self._status.write(document, status, conditions)
        return delay

    async def _bring_about(
        self, document: Document, status: Document, conditions: Conditions
    ) -> float:
        spec = read_spec(document, PolicySpec)
        refresh = seconds(spec.refresh_interval, "refreshInterval", least=10)
        if (spec.policy is None) == (spec.acl is None):
            raise SpecError("InvalidSpec", "spec: takes policy or acl, and not both")
        before = document.get("status", {})
        name = _name(document, spec)
        session = await self._open(document, spec)
        await self._take_finalizer(document)
        former = before.get("policyName", name)
        if former != name and spec.deletion_policy == "Delete":
            await session.delete_policy(former)
        text: dict[str, Any] = (
            {"acl": spec.acl} if spec.acl is not None else dict(spec.policy or {})
        )
        wanted = await session.validate_policy(name, text)
        found = await session.read_policy(name)
        is_ours = before.get("policyName") == name
        if found is None or _bare(found) != _bare(wanted):
            if found is not None and not is_ours and not spec.take_over:
                why = f"there is a policy {name} that says something else: set spec.takeOver"
                raise ReconcileError("PolicyExists", why)
            written = await session.write_policy(name, text)
            status["appliedAt"] = timestamp(self._world)
            status["version"] = written.get("version", 0)
            drifted = is_ours and before.get("observedGeneration") == conditions.generation
            status["mended"] = before.get("mended", 0) + drifted
        status |= {"policyName": name, "verifiedAt": timestamp(self._world)}
        conditions.set("Ready", "True", "Applied")
        return refresh * (1 + self._world.jitter() / 10)

    async def _open(self, document: Document, spec: PolicySpec) -> AgentSession:
        metadata = document["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        identity = await self._agents.identify(spec.agent, key.namespace)
        return await self._agents.open((POLICIES.kind, key), identity)

    async def _remove(self, document: Document) -> None:
        """Delete what was applied, then let the resource go."""
        name = document.get("status", {}).get("policyName")
        if FINALIZER not in document["metadata"].get("finalizers", []):
            return
        if name:  # else nothing was ever written
            spec = read_spec(document, PolicySpec)
            if spec.deletion_policy == "Delete":
                await (await self._open(document, spec)).delete_policy(name)
        await self._set_finalizers(document, is_ours=False)
        self._agents.close((POLICIES.kind, Key(document["metadata"]["namespace"],
                                               document["metadata"]["name"])))  # fmt: skip

    async def _take_finalizer(self, document: Document) -> None:
        if FINALIZER not in document["metadata"].get("finalizers", []):
            await self._set_finalizers(document, is_ours=True)

    async def _set_finalizers(self, document: Document, *, is_ours: bool) -> None:
        """Set or remove our finalizer.

        Raises `ConflictError` where the object has changed since it was read.
        """
        metadata = document["metadata"]
        others = [each for each in metadata.get("finalizers", []) if each != FINALIZER]
        wanted = [*others, FINALIZER] if is_ours else others
        patch = {"metadata": {"finalizers": wanted, "resourceVersion": metadata["resourceVersion"]}}
        try:
            await self._api.patch(POLICIES, metadata["namespace"], metadata["name"], patch)
        except MissingError:
            return


def _name(document: Document, spec: PolicySpec) -> str:
    metadata = document["metadata"]
    name = spec.policy_name or f"{metadata['namespace']}.{metadata['name']}"
    if len(name) > 128:  # noqa: PLR2004  # as the agent allows
        raise SpecError("InvalidSpec", "spec.policyName: is needed where names are so long")
    return name


def _bare(policy: Document) -> Document:
    return {name: value for name, value in policy.items() if name not in _EDITION}
