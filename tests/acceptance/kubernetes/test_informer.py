"""List, watch and election against an API server's double that breaks off, forgets and refuses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from actors import SystemWorld
from kube_operator.api import KubernetesApi, open_api
from kube_operator.errors import ClusterError, ConflictError
from kube_operator.informer import Informer
from kube_operator.leadership import LeaderElection, LeaseTimes
from kube_operator.objects import CONFIG_MAPS, LEASES, SERVICES, Key
from tests.support.kubernetes_api import OPERATOR, KubernetesDouble, kubernetes_double

PATIENCE = 60.0
TIMES = LeaseTimes(duration=300.0, deadline=200.0, retry=0.05)


@pytest.fixture
async def double() -> AsyncIterator[KubernetesDouble]:
    """An API server."""
    async with kubernetes_double() as made:
        yield made


@asynccontextmanager
async def client(double: KubernetesDouble, folder: Path) -> AsyncIterator[KubernetesApi]:
    """As the operator, whose token is a file."""
    token = folder / "token"
    if not token.exists():
        token.write_text(OPERATOR)
    async with open_api(double.address, None, token, SystemWorld()) as api:
        yield api


@pytest.fixture
async def api(double: KubernetesDouble, tmp_path: Path) -> AsyncIterator[KubernetesApi]:
    """A client of it."""
    async with client(double, tmp_path) as made:
        yield made


def service(name: str, port: int = 1, namespace: str = "prod") -> dict[str, Any]:
    """An object."""
    return {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace, "name": name}, "spec": {"ports": [{"port": port}]},
    }  # fmt: skip


class Following:
    """An informer and what it called."""

    def __init__(self, api: KubernetesApi, namespace: str = "") -> None:
        self.changed: list[str] = []
        self._event = trio.Event()
        self.informer = Informer(api, SERVICES, namespace, self._note, SystemWorld())

    def _note(self, key: Key) -> None:
        self.changed.append(key.name)
        self._event.set()
        self._event = trio.Event()

    async def until(self, *names: str) -> None:
        """All of these were called since the last time, and no others."""
        with trio.fail_after(PATIENCE):
            while not set(names) <= set(self.changed):
                await self._event.wait()
        assert set(self.changed) == set(names)
        self.changed.clear()

    def names(self) -> set[str]:
        """What it knows."""
        return {key.name for key in self.informer}


@asynccontextmanager
async def following(api: KubernetesApi, namespace: str = "") -> AsyncIterator[Following]:
    """An informer for the length of the block, which has listed."""
    made = Following(api, namespace)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.informer.run)
        with trio.fail_after(PATIENCE):
            await made.informer.synced.wait()
        yield made
        nursery.cancel_scope.cancel()


async def watched(double: KubernetesDouble) -> None:
    """Until a watch is open."""
    with trio.fail_after(PATIENCE):
        while not double.watching("services"):
            await trio.lowlevel.checkpoint()


async def test_it_knows_what_there_is(double: KubernetesDouble, api: KubernetesApi) -> None:
    """Of many pages, then each change once: none of a status, and none of another namespace."""
    double.page = 2
    for number in range(5):
        double.put("services", service(f"s-{number}"))
    double.put("services", service("far", namespace="other"))
    async with following(api, "prod") as seen:
        assert seen.names() == {f"s-{number}" for number in range(5)}
        await seen.until(*seen.names())
        double.put("services", service("new"))
        await seen.until("new")
        double.change("services", "prod", "new", status={"a": 1})
        double.put("services", service("far", 2, namespace="other"))
        double.put("services", service("s-1", 2))
        double.remove("services", "prod", "s-2")
        await seen.until("s-1", "s-2")
        assert seen.names() == {"s-0", "s-1", "s-3", "s-4", "new"}
        found = seen.informer.get(Key("prod", "new"))
        assert found is not None
        assert found["status"] == {"a": 1}
        assert (found["kind"], found["apiVersion"]) == ("Service", "v1")
        assert (seen.informer.lists, seen.changed) == (1, [])


@pytest.mark.parametrize("mid_line", [False, True])
async def test_a_watch_that_breaks_goes_on(
    double: KubernetesDouble, api: KubernetesApi, mid_line: bool
) -> None:
    """From where it was, without another list; half an event is none."""
    double.put("services", service("a"))
    async with following(api) as seen:
        await seen.until("a")
        await watched(double)
        assert await double.cut("services", mid_line=mid_line) == 1
        double.put("services", service("b"))
        double.remove("services", "prod", "a")
        await seen.until("a", "b")
        assert seen.names() == {"b"}
        assert seen.informer.lists == 1


async def test_history_that_is_gone_is_listed(double: KubernetesDouble, api: KubernetesApi) -> None:
    """After 410 all is listed anew, and what has changed meanwhile is called."""
    for name in ("kept", "changed", "gone"):
        double.put("services", service(name))
    async with following(api) as seen:
        await seen.until("kept", "changed", "gone")
        await watched(double)
        double.failures = [("watch", "services", 0)]  # so that it misses what follows
        await double.cut("services")
        double.put("services", service("changed", 2))
        double.remove("services", "prod", "gone")
        double.compact()
        await seen.until("changed", "gone")
        assert seen.names() == {"kept", "changed"}
        assert seen.informer.lists == 2


async def test_a_bookmark_saves_a_list(double: KubernetesDouble, api: KubernetesApi) -> None:
    """Its version is gone on from, though no object of the kind changed for long."""
    double.put("services", service("a"))
    async with following(api) as seen:
        await seen.until("a")
        await watched(double)
        for number in range(3):  # of another kind
            double.put("configmaps", {
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"namespace": "prod", "name": f"c-{number}"},
            })  # fmt: skip
        await double.bookmark("services")
        double.compact()
        double.put("services", service("b"))
        await seen.until("b")
        await double.cut("services", mid_line=False)
        double.put("services", service("c"))
        await seen.until("c")
        assert seen.informer.lists == 1


async def test_a_list_that_expires_begins_anew(
    double: KubernetesDouble, api: KubernetesApi
) -> None:
    """410 in the middle of the pages; so do refusals and breaks before."""
    double.page = 1
    for number in range(3):
        double.put("services", service(f"s-{number}"))
    double.failures = [("list", "services", status) for status in (503, 0, 410)]
    async with following(api) as seen:
        assert seen.names() == {"s-0", "s-1", "s-2"}
    assert double.failures == []


async def test_a_token_that_was_renewed_is_read_again(
    double: KubernetesDouble, tmp_path: Path
) -> None:
    """A kubelet writes another one into the file; the former is refused then."""
    (tmp_path / "token").write_text("expired")
    async with client(double, tmp_path) as api:
        with pytest.raises(ClusterError) as refused:
            await api.read(SERVICES, "prod", "a")
        assert refused.value.status == 401
        double.put("services", service("a"))
        (tmp_path / "token").write_text(f"{OPERATOR}\n")
        assert (await api.read(SERVICES, "prod", "a"))["metadata"]["name"] == "a"


async def test_an_object_that_has_changed_is_a_conflict(
    double: KubernetesDouble, api: KubernetesApi
) -> None:
    """By its resource version, and by its uid."""
    made = double.put("configmaps", {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "prod", "name": "c"},
    })  # fmt: skip
    for name in ("resourceVersion", "uid"):
        other = {**made, "metadata": {**made["metadata"], name: "7"}, "data": {"a": "b"}}
        with pytest.raises(ConflictError):
            await api.replace(CONFIG_MAPS, "prod", "c", other)
    found = double.find("configmaps", "prod", "c")
    assert found is not None
    assert "data" not in found


class Candidate:
    """A process that would lead."""

    def __init__(self, api: KubernetesApi, name: str, times: LeaseTimes = TIMES) -> None:
        self.election = LeaderElection(
            api, "vaults", "operator", name, world=SystemWorld(), times=times
        )
        self.leads = trio.Event()
        self.ended = trio.Event()

    async def run(self) -> None:
        """Lead once, until that is over."""
        async with self.election.leading():
            self.leads.set()
            await trio.sleep_forever()
        self.ended.set()


async def test_one_leads_at_a_time(double: KubernetesDouble, api: KubernetesApi) -> None:
    """Who stops gives the lease up; another one goes on at once, and never both."""
    one, two = Candidate(api, "one"), Candidate(api, "two")
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            first = await nursery.start(_in_scope, one)
            await one.leads.wait()
            nursery.start_soon(two.run)
            for _ in range(3):  # two has tried, and one has renewed
                await double.wait()
            assert not two.election.is_leader
            first.cancel()
            await two.leads.wait()
            assert not one.election.is_leader
            found = await api.read(LEASES, "vaults", "operator")
            assert found["spec"]["holderIdentity"] == "two"
            assert found["spec"]["leaseTransitions"] == 1
            nursery.cancel_scope.cancel()


async def _in_scope(candidate: Candidate, task_status: Any) -> None:
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await candidate.run()


async def test_a_lease_that_is_taken_ends_the_work(
    double: KubernetesDouble, api: KubernetesApi
) -> None:
    """Whoever finds another holder does not go on."""
    one = Candidate(api, "one")
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run)
            await one.leads.wait()
            found = double.find("leases", "vaults", "operator")
            assert found is not None
            double.change(
                "leases", "vaults", "operator", spec={**found["spec"], "holderIdentity": "two"}
            )
            await one.ended.wait()


async def test_a_leader_that_cannot_renew_stops(
    double: KubernetesDouble, api: KubernetesApi
) -> None:
    """Before another one may take over, whether or not the API server answers."""
    one = Candidate(api, "one", LeaseTimes(duration=3.0, deadline=0.5, retry=0.05))
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run)
            await one.leads.wait()
            double.failures = [("get", "leases", 503)] * 10_000
            await one.ended.wait()
