"""The operator between an API server's double and a real agent: resources become what they say.

Its rights are those of the chart: the double refuses whatever they do not allow.
"""

import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
import yaml

from actors import SystemWorld
from kube_operator.api import open_api
from kube_operator.app import Operator
from kube_operator.settings import Settings
from tests.acceptance.agent import Agent, dev_agent, own_folder, running
from tests.support.helm import HELM, Rendered, render
from tests.support.kubernetes_api import (
    OPERATOR,
    REVIEWER,
    KubernetesDouble,
    kubernetes_double,
    used_rights,
)

pytestmark = pytest.mark.skipif(not os.access(HELM, os.X_OK), reason="no Helm: make setup")

PATIENCE = 60.0
CHART = Path("deploy/helm/freehold-operator")
VALUE = "correct-horse-battery-staple"
AUTHORITY = trustme.CA().cert_pem.bytes().decode()
Find = Callable[[], Any]


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """With a secret, and `auth/kubernetes` whose cluster is whatever a test has it be."""
    with own_folder() as folder, running(dev_agent(folder)) as started:
        yield started


def ok(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """A call as root that has to succeed."""
    answer = agent.call(method, path, body)
    assert answer.status in {200, 201, 204}, answer.body
    return answer.json if answer.body else None


async def call(agent: Agent, method: str, path: str, body: object = None) -> Any:
    """The same beside the event loop, on which the agent's requests to the cluster are answered."""
    return await trio.to_thread.run_sync(ok, agent, method, path, body)


class Cluster:
    """The double, an operator that works on it, and the agent."""

    def __init__(self, double: KubernetesDouble, agent: Agent, operator: Operator) -> None:
        self.double = double
        self.agent = agent
        self.operator = operator

    async def until(self, find: Find) -> Any:
        """What `find` finds, as soon as it is something."""
        with trio.move_on_after(PATIENCE):
            while not (found := find()):
                await self.double.wait()
            return found
        raise AssertionError(self.explain())

    def explain(self) -> str:
        """What there is, for a test that waited in vain; no Secret's data."""
        lines = [
            f"{kind} {name}: {each.get('status') or each.get('note', '')}"
            for (_, kind, _, name), each in self.double.objects.items()
            if kind != "secrets"
        ]
        return "\n".join([*lines, *(str(each) for each in self.double.asked[-12:])])

    def condition(self, plural: str, name: str, kind: str) -> tuple[str, str]:
        """Status and reason."""
        found = self.double.find(plural, "prod", name) or {}
        for each in found.get("status", {}).get("conditions", []):
            if each["type"] == kind:
                return each["status"], each["reason"]
        return "", ""

    def data(self, name: str = "app") -> dict[str, str]:
        """The data of a Secret."""
        found = self.double.find("secrets", "prod", name) or {}
        return {key: base64.b64decode(each).decode() for key, each in found.get("data", {}).items()}

    async def write(self, path: str, value: object) -> None:
        """A new version of a secret at the agent."""
        if self.agent.call("GET", f"/api/v1/metadata/{path}").status == 404:
            await call(self.agent, "POST", "/api/v1/secrets", {"name": path, "value": value})
        else:
            await call(self.agent, "PUT", f"/api/v1/secrets/{path}", {"value": value})


@pytest.fixture
async def cluster(agent: Agent, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster for one test."""
    async with open_cluster(agent, tmp_path) as made:
        yield made


@asynccontextmanager
async def open_cluster(agent: Agent, folder: Path) -> AsyncIterator[Cluster]:
    """With the CRDs and the rights of the chart, and a service account that the agent knows."""
    async with kubernetes_double(rules()) as double:
        for file in (CHART / "crds").iterdir():
            double.define(yaml.safe_load(file.read_text()))
        account(double, "app")
        await trio.to_thread.run_sync(trust, agent, double)
        async with operating(double, folder, agent) as operator:
            yield Cluster(double, agent, operator)


def rules() -> list[dict[str, Any]]:
    """What the chart lets the operator do."""
    found: Rendered = render(CHART, {})
    [election] = found.of_kind("Role")
    rules: list[dict[str, Any]] = found.only("ClusterRole")["rules"] + election["rules"]
    return rules


def account(double: KubernetesDouble, name: str) -> None:
    """A service account."""
    double.put("serviceaccounts", {
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"namespace": "prod", "name": name},
    })  # fmt: skip


def trust(agent: Agent, double: KubernetesDouble) -> None:
    """Let accounts of the cluster log in at the agent."""
    reading, writing = ["read", "list", "read_metadata"], ["read", "update", "delete"]
    rules = [
        {"effect": "allow", "paths": ["secret/app/*"], "capabilities": reading},
        {"effect": "allow", "paths": ["sys/policies/prod.*"], "capabilities": writing},
    ]
    ok(agent, "PUT", "/api/v1/policies/operator-app", {"rules": rules})
    mounts = agent.call("GET", "/v1/sys/auth").json["data"]
    if "kubernetes/" not in mounts:
        ok(agent, "POST", "/v1/sys/auth/kubernetes", {"type": "kubernetes"})
    ok(agent, "POST", "/v1/auth/kubernetes/config", {
        "kubernetes_host": double.address, "token_reviewer_jwt": REVIEWER,
    })  # fmt: skip
    ok(agent, "POST", "/v1/auth/kubernetes/role/app", {
        "bound_service_account_names": "app", "bound_service_account_namespaces": "prod",
        "token_policies": "operator-app", "audience": "freehold", "token_ttl": "1h",
    })  # fmt: skip


@asynccontextmanager
async def operating(
    double: KubernetesDouble, folder: Path, agent: Agent
) -> AsyncIterator[Operator]:
    """An operator for the length of the block. The first pod of each agent is this one."""
    election = {"name": "prod-freehold-operator", "namespace": "vaults", "duration": "300s"}
    agents = {"allowed": ["http://127.0.0.1:*"]}
    made = Settings.model_validate({"agents": agents, "leader_election": election})
    token = folder / "token"
    token.write_text(OPERATOR)
    world = SystemWorld()
    async with open_api(double.address, None, token, world) as api, trio.open_nursery() as nursery:
        operator = Operator(
            api, made, world, "9.9.9", namespace="vaults", identity="one",
            find_pod=lambda _, number: "http://127.0.0.1:1" if number else agent.address,
        )  # fmt: skip
        nursery.start_soon(operator.run)
        yield operator
        nursery.cancel_scope.cancel()


def target(agent: Agent, **more: Any) -> dict[str, Any]:
    """`spec.agent` of a resource."""
    return {"address": agent.address, "role": "app", "serviceAccount": "app", **more}


def resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A custom resource in the namespace prod."""
    return {
        "apiVersion": "freehold.dev/v1alpha1", "kind": kind,
        "metadata": {"namespace": "prod", "name": name}, "spec": spec,
    }  # fmt: skip


def secret(cluster: Cluster, name: str = "app", **spec: Any) -> dict[str, Any]:
    """Create a `FreeholdSecret`, or change its spec."""
    whole = {"agent": target(cluster.agent), **spec}
    return cluster.double.put("freeholdsecrets", resource("FreeholdSecret", name, whole))


def deployment(cluster: Cluster, name: str = "web") -> None:
    """A Deployment of two pods that are all there."""
    made = cluster.double.put("deployments", {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": "prod", "name": name},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": name}}}},
    })  # fmt: skip
    roll(cluster, name, made["metadata"]["generation"])


def roll(cluster: Cluster, name: str, generation: int, updated: int = 2) -> None:
    """What the Deployment's controller says."""
    cluster.double.change("deployments", "prod", name, status={
        "observedGeneration": generation, "replicas": 2, "updatedReplicas": updated,
        "availableReplicas": 2,
    })  # fmt: skip


def annotations(cluster: Cluster, name: str = "web") -> dict[str, str]:
    """Of the pods of a Deployment."""
    found = cluster.double.find("deployments", "prod", name)
    assert found is not None
    given: dict[str, str] = found["spec"]["template"]["metadata"].get("annotations", {})
    return given


async def test_a_secret_becomes_a_secret(cluster: Cluster) -> None:
    """With the fields that are named; it follows its secret, and goes with its resource."""
    path = "secret/app/follow"
    await cluster.write(path, {"user": "app", "password": VALUE, "port": 5432})
    secret(
        cluster, data=[{"key": "DB_PASSWORD", "path": path, "field": "password"}],
        dataFrom=[{"path": path}], target={"labels": {"team": "a"}},
    )  # fmt: skip
    wanted = {"DB_PASSWORD": VALUE, "user": "app", "password": VALUE, "port": "5432"}
    await cluster.until(lambda: cluster.data() == wanted)
    made = cluster.double.find("secrets", "prod", "app")
    assert made is not None
    assert made["metadata"]["labels"]["team"] == "a"
    [owner] = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("FreeholdSecret", "app")
    await cluster.until(
        lambda: cluster.condition("freeholdsecrets", "app", "Ready") == ("True", "Synced")
    )
    await cluster.write(path, {"user": "app", "password": "second"})
    await cluster.until(lambda: cluster.data().get("DB_PASSWORD") == "second")
    assert "port" not in cluster.data()
    cluster.double.remove("freeholdsecrets", "prod", "app")
    assert cluster.double.find("secrets", "prod", "app") is None


async def test_no_value_is_shown(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """Not in status, events and logs, whatever becomes of the resource."""
    caplog.set_level(0)
    await cluster.write("secret/app/shown", {"password": VALUE})
    secret(cluster, data=[{"key": "P", "path": "secret/app/shown", "field": "password"}])
    await cluster.until(lambda: cluster.data() == {"P": VALUE})
    secret(cluster, data=[{"key": "P", "path": "secret/app/shown", "field": "absent"}])
    await cluster.until(
        lambda: cluster.condition("freeholdsecrets", "app", "Ready") == ("False", "NoField")
    )
    await cluster.until(lambda: [p for p in cluster.double.objects if p[1] == "events"])
    shown = [each for (_, kind, *_), each in cluster.double.objects.items() if kind != "secrets"]
    assert len([each for each in shown if each["kind"] == "Event"]) >= 1
    encoded = base64.b64encode(VALUE.encode()).decode()
    for text in (json.dumps(shown), caplog.text):
        assert VALUE not in text
        assert encoded not in text
    assert cluster.data() == {"P": VALUE}  # what it had stays


async def test_pods_are_replaced_and_the_version_is_acknowledged(cluster: Cluster) -> None:
    """When all pods run with a version, and not before; a change of metadata replaces none."""
    path = "secret/app/rolled"
    await cluster.write(path, "one")
    deployment(cluster)
    secret(
        cluster, data=[{"key": "K", "path": path}], rollout=[{"kind": "Deployment", "name": "web"}]
    )
    first = (await cluster.until(lambda: annotations(cluster)))["freehold.dev/secret.app"]
    assert first.startswith(f"{path}=1@")
    assert cluster.double.find("deployments", "prod", "web")["metadata"]["generation"] == 2  # type: ignore[index]
    await cluster.until(
        lambda: cluster.condition("freeholdsecrets", "app", "Adopted") == ("False", "Progressing")
    )
    assert await acknowledgements(cluster, path) == 0
    roll(cluster, "web", 2)
    await cluster.until(
        lambda: cluster.condition("freeholdsecrets", "app", "Adopted") == ("True", "RolledOut")
    )
    status = cluster.double.find("freeholdsecrets", "prod", "app")["status"]  # type: ignore[index]
    assert status["workloads"] == [{"kind": "Deployment", "name": "web", "state": "RolledOut"}]
    assert status["acknowledged"] == [{"path": path, "version": 1}]
    assert await acknowledgements(cluster, path) == 1
    await cluster.write(path, "two")
    await cluster.until(lambda: annotations(cluster)["freehold.dev/secret.app"] != first)
    roll(cluster, "web", 3, updated=1)
    await cluster.until(
        lambda: cluster.condition("freeholdsecrets", "app", "Adopted") == ("False", "Progressing")
    )
    roll(cluster, "web", 3)
    await cluster.until(
        lambda: cluster.condition("freeholdsecrets", "app", "Adopted") == ("True", "RolledOut")
    )
    assert await acknowledgements(cluster, path) == 2


async def acknowledgements(cluster: Cluster, path: str) -> int:
    """How often a version was put on record as in use."""
    query = f"operation=secret.acknowledge&path={path}&limit=10"
    found = await call(cluster.agent, "GET", f"/api/v1/audit/events?{query}")
    return len([each for each in found["events"] if each["result"] == "ok"])


async def test_a_secret_of_somebody_else_stays_as_it_is(cluster: Cluster) -> None:
    """It is neither changed nor read; with its uid it is taken over."""
    await cluster.write("secret/app/mine", "mine")
    theirs = {
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"X": "eA=="},
        "metadata": {"namespace": "prod", "name": "app"},
    }  # fmt: skip
    made = cluster.double.put("secrets", theirs)
    items = [{"key": "K", "path": "secret/app/mine"}]
    secret(cluster, data=items)
    await cluster.until(
        lambda: cluster.condition("freeholdsecrets", "app", "Ready") == ("False", "SecretNotOwned")
    )
    assert cluster.data() == {"X": "x"}
    secret(cluster, data=items, target={"uid": made["metadata"]["uid"]})
    await cluster.until(lambda: cluster.data() == {"K": "mine"})
    assert not {each.verb for each in cluster.double.asked if each.resource == "secrets"} & {
        "get", "list", "watch", "patch"
    }  # fmt: skip


async def test_a_secret_that_is_removed_or_renamed(cluster: Cluster) -> None:
    """One that is deleted comes back; of another name there is no value left under the former."""
    await cluster.write("secret/app/back", "v")
    items = [{"key": "K", "path": "secret/app/back"}]
    secret(cluster, data=items)
    await cluster.until(lambda: cluster.data() == {"K": "v"})
    cluster.double.remove("secrets", "prod", "app")
    secret(cluster, data=items, refreshInterval="11s")  # it is looked at
    await cluster.until(lambda: cluster.data() == {"K": "v"})
    secret(cluster, data=items, target={"name": "other"})
    await cluster.until(lambda: cluster.data("other") == {"K": "v"})
    assert cluster.data("app") == {}
    secret(cluster, data=items, target={"name": "other", "deletionPolicy": "Retain"})
    await cluster.until(
        lambda: not cluster.double.find("secrets", "prod", "other")["metadata"]["ownerReferences"]  # type: ignore[index]
    )
    cluster.double.remove("freeholdsecrets", "prod", "app")
    assert cluster.data("other") == {"K": "v"}


async def test_what_an_account_may_not_is_refused(cluster: Cluster) -> None:
    """The agent decides by the account of the namespace; the operator has no rights of its own."""
    await cluster.write("secret/other/a", VALUE)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"data": [{"key": "K", "path": "secret/other/a"}]}, "Forbidden"),
        ({"data": [{"key": "K", "path": "secret/app/none"}]}, "NotFound"),
        ({"data": []}, "InvalidSpec"),
        ({"agent": target(cluster.agent, role="nobody")}, "LoginRefused"),
        ({"agent": target(cluster.agent, serviceAccount="nobody")}, "NoServiceAccount"),
        ({"agent": target(cluster.agent, audience="else")}, "LoginRefused"),
        ({"agent": target(cluster.agent, address="http://10.0.0.1:8200")}, "AddressNotAllowed"),
        ({"agent": target(cluster.agent, address="http://127.0.0.1:1")}, "AgentUnreachable"),
        ({"agent": target(cluster.agent, ca={"name": "none"})}, "NoAuthority"),
        ({"refreshInterval": "1s"}, "InvalidSpec"),
    ]
    account(cluster.double, "stranger")
    for number, (spec, _) in enumerate(refused):
        usual = {"data": [{"key": "K", "path": "secret/app/none"}]}
        secret(cluster, f"n-{number}", **{**usual, **spec})
    for number, (_, reason) in enumerate(refused):
        await cluster.until(
            lambda number=number: cluster.condition("freeholdsecrets", f"n-{number}", "Ready")[0]
        )
        assert cluster.condition("freeholdsecrets", f"n-{number}", "Ready") == ("False", reason)
        assert cluster.condition("freeholdsecrets", f"n-{number}", "Stale") == (
            "True", "NeverSynced"
        )  # fmt: skip
    assert not [place for place in cluster.double.objects if place[1] == "secrets"]


@asynccontextmanager
async def relay(agent: Agent) -> AsyncIterator[str]:
    """The address of a way to the agent, that stays when the agent comes back on another port."""
    broken = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)

    async def carry(source: trio.SocketStream, to: trio.SocketStream) -> None:
        with suppress(*broken):
            async for data in source:
                await to.send_all(data)
            await to.send_eof()

    async def serve(client: trio.SocketStream) -> None:
        with suppress(*broken):
            server = await trio.open_tcp_stream("127.0.0.1", agent.port)
            async with server, client, trio.open_nursery() as nursery:
                nursery.start_soon(carry, client, server)
                await carry(server, client)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        listen = partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
        [listener] = await nursery.start(listen)
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_an_agent_that_goes_away_and_comes_back(agent: Agent, cluster: Cluster) -> None:
    """The Secret stays, the resource says so, and follows on afterwards."""
    await cluster.write("secret/app/away", "before")
    async with relay(agent) as address:
        spec = target(cluster.agent, address=address)
        secret(cluster, agent=spec, data=[{"key": "K", "path": "secret/app/away"}])
        await cluster.until(lambda: cluster.data() == {"K": "before"})
        await trio.to_thread.run_sync(agent.stop)
        await cluster.until(
            lambda: cluster.condition("freeholdsecrets", "app", "Ready")[0] == "False"
        )
        assert cluster.data() == {"K": "before"}
        await trio.to_thread.run_sync(agent.start)
        await cluster.until(
            lambda: cluster.condition("freeholdsecrets", "app", "Ready") == ("True", "Synced")
        )
        await cluster.write("secret/app/away", "after")
        await cluster.until(lambda: cluster.data() == {"K": "after"})


def policy(cluster: Cluster, **spec: Any) -> None:
    """Create a `FreeholdPolicy`, or change its spec."""
    whole = {"agent": target(cluster.agent), **spec}
    cluster.double.put("freeholdpolicies", resource("FreeholdPolicy", "team", whole))


ACL = 'path "secret/data/team/*" {\n  capabilities = ["read"]\n}\n'


async def test_a_policy_is_kept_and_removed(cluster: Cluster) -> None:
    """It is what the resource says, again after a change at the agent, and goes with it."""
    policy(cluster, acl=ACL)

    async def at_agent() -> Any:
        answer = await trio.to_thread.run_sync(
            cluster.agent.call, "GET", "/api/v1/policies/prod.team"
        )
        return answer.json if answer.status == 200 else None

    ready = lambda: cluster.condition("freeholdpolicies", "team", "Ready") == ("True", "Applied")  # noqa: E731
    await cluster.until(ready)
    assert (await at_agent())["acl"] == ACL
    await call(
        cluster.agent, "PUT", "/api/v1/policies/prod.team", {"acl": ACL.replace("read", "list")}
    )
    cluster.double.change("freeholdpolicies", "prod", "team", spec={
        "agent": target(cluster.agent), "acl": ACL, "refreshInterval": "10s",
    })  # fmt: skip
    await until_async(at_agent, lambda found: found["acl"] == ACL)
    rules = [{"effect": "allow", "paths": ["secret/team/*"], "capabilities": ["read"]}]
    policy(cluster, policy={"description": "a team", "rules": rules})
    await until_async(at_agent, lambda found: found.get("description") == "a team")
    found = cluster.double.find("freeholdpolicies", "prod", "team")
    assert found is not None
    assert found["metadata"]["finalizers"] == ["freehold.dev/policy"]
    cluster.double.remove("freeholdpolicies", "prod", "team")
    await cluster.until(lambda: cluster.double.find("freeholdpolicies", "prod", "team") is None)
    assert await at_agent() is None


async def until_async(find: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> None:
    """Ask until it holds."""
    with trio.fail_after(PATIENCE):
        while not holds(await find()):
            await trio.lowlevel.checkpoint()


async def test_a_policy_of_somebody_else_is_left(cluster: Cluster) -> None:
    """Unless the resource says that it is to be replaced. Both, and neither, are no policy."""
    await call(cluster.agent, "PUT", "/api/v1/policies/prod.team", {"acl": ACL})
    other = ACL.replace("team", "else")
    policy(cluster, acl=other)
    await cluster.until(
        lambda: cluster.condition("freeholdpolicies", "team", "Ready") == ("False", "PolicyExists")
    )
    policy(cluster, acl=other, policy={})
    await cluster.until(
        lambda: cluster.condition("freeholdpolicies", "team", "Ready") == ("False", "InvalidSpec")
    )
    policy(cluster, acl=other, takeOver=True)
    await cluster.until(
        lambda: cluster.condition("freeholdpolicies", "team", "Ready") == ("True", "Applied")
    )
    found = await call(cluster.agent, "GET", "/api/v1/policies/prod.team")
    assert found["acl"] == other


async def test_an_agent_is_made_and_watched(cluster: Cluster) -> None:
    """Its objects, how its pods are, and what is switched off; others' objects are left."""
    account(cluster.double, "vault")
    made = {"tls": {"secretName": "tls"}, "serviceAccount": {"create": False}}
    cluster.double.put("freeholdagents", resource("FreeholdAgent", "vault", made))
    await cluster.until(
        lambda: cluster.condition("freeholdagents", "vault", "Sealed") == ("False", "Unsealed")
    )
    assert cluster.condition("freeholdagents", "vault", "Ready") == ("False", "NotReady")
    assert cluster.double.find("services", "prod", "vault-pods") is not None
    assert cluster.double.find("networkpolicies", "prod", "vault") is not None
    assert cluster.double.find("serviceaccounts", "prod", "vault") is not None
    cluster.double.change("statefulsets", "prod", "vault", status={
        "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
    })  # fmt: skip
    await switch_off(cluster, made, "networkpolicies")
    await cluster.until(
        lambda: cluster.condition("freeholdagents", "vault", "Ready") == ("True", "Ready")
    )
    assert cluster.double.find("freeholdagents", "prod", "vault")["status"]["version"] == "9.9.9"  # type: ignore[index]
    assert cluster.double.find("serviceaccounts", "prod", "vault") is not None
    refused = {**made, "persistence": {"data": {"size": "99Gi"}}}
    cluster.double.put("freeholdagents", resource("FreeholdAgent", "vault", refused))
    await cluster.until(
        lambda: cluster.condition("freeholdagents", "vault", "Ready") == ("False", "Refused")
    )
    cluster.double.remove("freeholdagents", "prod", "vault")
    assert cluster.double.find("statefulsets", "prod", "vault") is None


async def test_what_the_csi_provider_asks(cluster: Cluster) -> None:
    """Vault's provider of the Secrets Store CSI driver: a login for the pod, then a read each."""
    await cluster.write("secret/app/csi", {"password": VALUE})
    jwt = cluster.double.issue("prod", "app", "freehold")
    sent = {"X-Vault-Request": "true"}

    def asked() -> tuple[Any, Any]:
        body = {"jwt": jwt, "role": "app"}
        login = cluster.agent.call(
            "POST", "/v1/auth/kubernetes/login", body, token="", headers=sent
        )
        token = login.json["auth"]["client_token"]
        found = cluster.agent.call(
            "GET", "/v1/secret/data/app/csi", token="", headers={**sent, "X-Vault-Token": token}
        )
        return login, found

    login, found = await trio.to_thread.run_sync(asked)
    assert login.json["auth"]["lease_duration"] > 0
    assert found.json["data"]["data"] == {"password": VALUE}
    assert found.json["data"]["metadata"]["version"] == 1


async def test_every_right_of_the_chart_is_used(agent: Agent, tmp_path: Path) -> None:
    """And no other: what is not allowed is refused by the double."""
    wanted = {
        (group, name, verb)
        for rule in rules()
        for group in rule["apiGroups"]
        for name in rule["resources"]
        for verb in rule["verbs"]
    }
    async with open_cluster(agent, tmp_path) as cluster:
        await use_everything(cluster)
        rest = wanted - {("coordination.k8s.io", "leases", "update")}
        await cluster.until(lambda: used(cluster) >= rest)
    assert used(cluster) == wanted  # a lease that is given up is changed


def used(cluster: Cluster) -> set[tuple[str, str, str]]:
    """The rights that were used."""
    found = used_rights(cluster.double.asked).items()
    return {(*each, verb) for each, verbs in found for verb in verbs}


async def use_everything(cluster: Cluster) -> None:
    """Resources of all kinds, and a change of each."""
    await cluster.write("secret/app/rights", "v")
    deployment(cluster)
    for kind, plural in (("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets")):
        cluster.double.put(plural, {
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"namespace": "prod", "name": "web"},
            "spec": {"replicas": 1, "template": {}},
        })  # fmt: skip
    authority = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "prod", "name": "ca"},
        "data": {"ca.crt": AUTHORITY},
    }  # fmt: skip
    cluster.double.put("configmaps", authority)
    kinds = ("Deployment", "StatefulSet", "DaemonSet")
    secret(
        cluster, agent=target(cluster.agent, ca={"name": "ca"}),
        data=[{"key": "K", "path": "secret/app/rights"}],
        rollout=[{"kind": kind, "name": "web"} for kind in kinds],
    )  # fmt: skip
    policy(cluster, acl=ACL, takeOver=True)
    made = {"tls": {"secretName": "tls"}, "replicas": 2, "storage": {"type": "mysql", "host": "db"}}
    cluster.double.put("freeholdagents", resource("FreeholdAgent", "vault", made))
    await cluster.until(lambda: cluster.data() == {"K": "v"})
    secret(cluster, data=[{"key": "K", "path": "secret/app/rights"}], target={"labels": {"a": "b"}})
    await cluster.until(
        lambda: cluster.condition("freeholdagents", "vault", "Ready") == ("False", "NotReady")
    )
    cluster.double.put(
        "freeholdagents", resource("FreeholdAgent", "vault", {**made, "replicas": 3})
    )
    await cluster.until(
        lambda: cluster.double.find("statefulsets", "prod", "vault")["spec"]["replicas"] == 3  # type: ignore[index]
    )
    await switch_off(cluster, made, "networkpolicies", "poddisruptionbudgets", "serviceaccounts")


async def switch_off(cluster: Cluster, made: dict[str, Any], *plurals: str) -> None:
    """What an agent can do without; it is gone then."""
    names = ("networkPolicy", "podDisruptionBudget")
    off = {**{name: {"enabled": False} for name in names}, "serviceAccount": {"create": False}}
    cluster.double.put("freeholdagents", resource("FreeholdAgent", "vault", {**made, **off}))
    for plural in plurals:
        await cluster.until(lambda plural=plural: not cluster.double.find(plural, "prod", "vault"))
