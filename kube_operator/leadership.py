"""Leader election by a Lease: of several operators one works, and another goes on after it.

As client-go does it: a lease counts as held for its duration from when this process saw it change,
by this process' own clock, so that clocks need not agree.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from actors import World
from kube_operator.api import KubernetesApi
from kube_operator.errors import ClusterError, ConflictError, MissingError
from kube_operator.objects import LEASES, Document
from protocols.instant import rfc3339

log: Final = logging.getLogger("freehold.kubernetes")


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds. Whoever cannot renew for `deadline` stops before others may take over."""

    duration: float = 15.0
    deadline: float = 10.0
    retry: float = 2.0


class LeaderElection:
    """This process' part in the election for one Lease."""

    def __init__(
        self, api: KubernetesApi, namespace: str, name: str, identity: str, *, world: World,
        times: LeaseTimes = LeaseTimes(),  # frozen
    ) -> None:  # fmt: skip
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._world = world
        self._times = times
        self._seen: Document = {}
        self._seen_at = 0.0
        self.is_leader = False

    @property
    def has_seen_lease(self) -> bool:
        """Whether the API server has ever shown it: this process could lead."""
        return bool(self._seen)

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        """Wait until this process leads; the block is cancelled when it does not any more.

        At the end of the block the lease is free at once.
        """
        while not await self._try():
            await self._pause()
        self.is_leader = True
        log.info("%s leads", self._identity)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._renew, nursery.cancel_scope)
                yield
                nursery.cancel_scope.cancel()
        finally:
            self.is_leader = False
            with trio.move_on_after(self._times.retry, shield=True):
                await self._release()

    async def _pause(self) -> None:
        await self._world.sleep(self._times.retry * (1 + self._world.jitter() / 5))

    async def _renew(self, scope: trio.CancelScope) -> None:
        renewed = self._world.monotonic()
        while True:
            await self._world.sleep(self._times.retry)
            began = self._world.monotonic()  # others may see it before we have the answer
            left = renewed + self._times.deadline - began
            if left <= 0:
                break
            with trio.move_on_after(left):
                if await self._try():
                    renewed = began
                    continue
                if self._holder() not in {"", self._identity}:
                    break
        log.warning("%s does not lead any more", self._identity)
        scope.cancel()

    def _holder(self) -> str:
        return str(self._seen.get("spec", {}).get("holderIdentity") or "")

    async def _try(self) -> bool:
        """Take or renew the lease; False: another one has it, or the API server does not answer."""
        try:
            try:
                await self._look()
            except MissingError:
                body = {"metadata": {"name": self._name}, "spec": self._spec(anew=True)}
                document = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, **body}
                self._see(await self._api.create(LEASES, self._namespace, document))
                return True
            is_ours = self._holder() == self._identity
            if not is_ours and self._holder() and not self._has_expired():
                return False
            body = {**self._seen, "spec": self._spec(anew=not is_ours)}
            self._see(await self._api.replace(LEASES, self._namespace, self._name, body))
        except ConflictError:  # another one was first
            return False
        except ClusterError as error:
            log.warning("the lease %s: %s", self._name, error)
            return False
        return True

    async def _look(self) -> None:
        self._see(await self._api.read(LEASES, self._namespace, self._name))

    def _see(self, lease: Document) -> None:
        if lease.get("spec") != self._seen.get("spec"):
            self._seen_at = self._world.monotonic()
        self._seen = lease

    def _has_expired(self) -> bool:
        seconds = self._seen["spec"].get("leaseDurationSeconds") or self._times.duration
        return self._world.monotonic() - self._seen_at >= seconds

    def _spec(self, *, anew: bool) -> Document:
        before = self._seen.get("spec", {})
        now = _micro_time(self._world.wall())
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(int(self._times.duration), 1),
            "acquireTime": now if anew else before.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": before.get("leaseTransitions", 0) + (anew and bool(before)),
        }

    async def _release(self) -> None:
        try:
            await self._look()
            if self._holder() == self._identity:
                spec = {**self._spec(anew=False), "holderIdentity": "", "leaseDurationSeconds": 1}
                body = {**self._seen, "spec": spec}
                await self._api.replace(LEASES, self._namespace, self._name, body)
        except ClusterError as error:
            log.warning("the lease %s was not given up: %s", self._name, error)


def _micro_time(ns: int) -> str:
    """Kubernetes' MicroTime has six digits, always."""
    seconds, fraction = divmod(ns, 10**9)
    return f"{rfc3339(seconds * 10**9).removesuffix('Z')}.{fraction // 1000:06d}Z"
