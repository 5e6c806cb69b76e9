"""The operator as a process: API server, election, informers, queues, health, signals."""

import logging
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from actors import SystemWorld, World
from kube_operator.agents import Agents, User
from kube_operator.api import KubernetesApi, open_api
from kube_operator.errors import ClusterError
from kube_operator.health import HealthEndpoints
from kube_operator.informer import Informer
from kube_operator.leadership import LeaderElection, LeaseTimes
from kube_operator.metrics import Figures, OperatorMetrics
from kube_operator.objects import AGENTS, POLICIES, SECRETS, Document, Key, Resource
from kube_operator.reconcile_agent import AgentReconciler, PodUrl, pod_url
from kube_operator.reconcile_policy import PolicyReconciler
from kube_operator.reconcile_secret import SecretReconciler
from kube_operator.settings import ACCOUNT, Settings
from kube_operator.work_queue import Work, WorkQueue
from protocols.http import serve as serve_http
from protocols.instant import SECOND
from protocols.systemd import SystemdNotifier

KINDS: Final = {"agents": AGENTS, "secrets": SECRETS, "policies": POLICIES}
DRAIN_SECONDS: Final = 2.0

log: Final = logging.getLogger("freehold.kubernetes")


class Objects:
    """The resources of one kind, of all namespaces that are looked after."""

    def __init__(
        self, api: KubernetesApi, resource: Resource, namespaces: tuple[str, ...],
        on_change: Callable[[Key], None], *, world: World,
    ) -> None:  # fmt: skip
        self.informers = {
            namespace: Informer(api, resource, namespace, on_change, world)
            for namespace in namespaces or ("",)
        }

    def get(self, key: Key) -> Document | None:
        """The resource as last seen."""
        informer = self.informers.get(key.namespace) or self.informers.get("")
        return informer.get(key) if informer else None

    def __len__(self) -> int:
        """The number of resources."""
        return sum(len(list(each)) for each in self.informers.values())


@dataclass
class Controller:
    """A kind of resource: what there is, and what is to be done."""

    objects: Objects
    queue: WorkQueue


class Operator:
    """Everything but the process. `find_pod`: where pods of agents are."""

    def __init__(
        self, api: KubernetesApi, settings: Settings, world: World, version: str, *,
        namespace: str, identity: str, find_pod: PodUrl = pod_url,
    ) -> None:  # fmt: skip
        self._api = api
        self._settings = settings
        self._world = world
        self._version = version
        self._find_pod = find_pod
        self._controllers: dict[str, Controller] = {}
        self._agents: Agents | None = None
        election = settings.leader_election
        duration = election.duration / SECOND
        self._election = LeaderElection(
            api, election.namespace or namespace, election.name, identity, world=world,
            times=LeaseTimes(duration, duration * 2 / 3, duration * 2 / 15),
        )  # fmt: skip

    def is_ready(self) -> bool:
        """Whether it has seen all resources, or the lease of the one that leads."""
        if not self._controllers:
            return self._election.has_seen_lease
        return all(
            informer.synced.is_set()
            for controller in self._controllers.values()
            for informer in controller.objects.informers.values()
        )

    async def run(self) -> None:
        """Work whenever this process leads, until cancelled."""
        if not self._settings.leader_election.enabled:
            await self._work()
        while True:
            async with self._election.leading():
                await self._work()

    async def _work(self) -> None:
        agents = Agents(self._api, self._world, self._on_change, self._settings.agents.allowed)
        wanted = self._settings.kinds.model_dump()
        controllers = {
            each.kind: self._control(each) for name, each in KINDS.items() if wanted[name]
        }
        self._agents, self._controllers = agents, controllers
        try:
            async with agents.running(), trio.open_nursery() as nursery:
                for kind, controller in controllers.items():
                    work = self._worker(kind, controller.objects, agents)
                    nursery.start_soon(controller.queue.run, work)
                    for informer in controller.objects.informers.values():
                        nursery.start_soon(informer.run)
        finally:
            self._agents, self._controllers = None, {}

    def _worker(self, kind: str, objects: Objects, agents: Agents) -> Work:
        """What is done for a resource of this kind."""
        if kind == SECRETS.kind:
            return SecretReconciler(self._api, agents, objects, self._world).reconcile
        if kind == POLICIES.kind:
            return PolicyReconciler(self._api, agents, objects, self._world).reconcile
        return AgentReconciler(
            self._api, objects, self._world, self._version, self._find_pod
        ).reconcile

    def _control(self, resource: Resource) -> Controller:
        queue = WorkQueue(self._world, workers=self._settings.workers)
        namespaces = self._settings.kubernetes.namespaces
        return Controller(
            Objects(self._api, resource, namespaces, queue.add, world=self._world), queue
        )

    def _on_change(self, user: User) -> None:
        kind, key = user
        if kind in self._controllers:
            self._controllers[kind].queue.add(key)

    def figures(self) -> Figures:
        """For metrics."""
        all_of = self._controllers.items()
        informers = {kind: list(each.objects.informers.values()) for kind, each in all_of}
        agents = self._agents
        return {
            "leader": {"": float(bool(self._controllers))},
            "objects": {kind: float(len(each.objects)) for kind, each in all_of},
            "queue": {kind: float(len(each.queue)) for kind, each in all_of},
            "failures": {kind: float(each.queue.failed) for kind, each in all_of},
            "lists": {kind: float(sum(i.lists for i in each)) for kind, each in informers.items()},
            "watches": {
                kind: float(sum(i.watches for i in each)) for kind, each in informers.items()
            },
            "agent_sessions": {"": float(len(agents) if agents else 0)},
            "agent_sessions_failing": {"": float(agents.failing if agents else 0)},
        }


def api_server(settings: Settings, environment: Mapping[str, str] = os.environ) -> str:
    """The URL of the API server. Raises `ClusterError` outside of a cluster."""
    if settings.kubernetes.url:
        return settings.kubernetes.url
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    if not host:
        raise ClusterError(0, "", "kubernetes.url is not set, and this is no pod of a cluster")
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def own_namespace(folder: Path = ACCOUNT) -> str:
    """The namespace of this pod; `default` outside of a cluster."""
    try:
        return (folder / "namespace").read_text().strip()
    except OSError:
        return "default"


async def serve(settings: Settings, announce: Callable[[str], None], version: str) -> None:
    """Work until SIGTERM or SIGINT. Raises `ClusterError` and `OSError` where it cannot begin."""
    world = SystemWorld()
    kubernetes = settings.kubernetes
    in_pod = not kubernetes.url
    ca = kubernetes.ca_file or (ACCOUNT / "ca.crt" if in_pod else None)
    token = kubernetes.token_file or (ACCOUNT / "token" if in_pod else None)
    async with open_api(api_server(settings), ca, token, world) as api:
        operator = Operator(
            api, settings, world, version, namespace=await world.run_sync(own_namespace),
            identity=f"{os.uname().nodename}_{world.new_id()}",
        )  # fmt: skip
        metrics = OperatorMetrics(operator.figures)
        endpoints = HealthEndpoints(operator.is_ready, metrics.render, world.monotonic)
        host, port = settings.server.address
        async with trio.open_nursery() as nursery:
            handle = await nursery.start(
                partial(
                    serve_http, endpoints, host=host, port=port, tls=None,
                    wall_clock=lambda: world.now() / 1e9,
                )
            )  # fmt: skip
            nursery.start_soon(operator.run)
            announce(f"freehold: the operator is on port {handle.port}")
            with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                SystemdNotifier.from_environment().notify_ready(f"port {handle.port}")
                async for _ in signals:
                    break
            await handle.drain(DRAIN_SECONDS)
            nursery.cancel_scope.cancel()
