"""HAProxy and nginx before two agents, by the files that the repository offers for them."""

from base64 import b64encode
from collections.abc import Iterator

import pytest

from tests.acceptance.agent import own_folder
from tests.acceptance.balancer.balancers import (
    BROKEN,
    PROXY,
    SECRET,
    Cluster,
    Load,
    balancer,
    check,
    cluster,
    command_haproxy,
    state_at_haproxy,
)
from tests.acceptance.workers.waiting import await_true


@pytest.fixture(scope="module")
def agents() -> Iterator[Cluster]:
    """Two, without a balancer."""
    with own_folder() as folder, cluster(folder) as made:
        yield made


@pytest.fixture(params=["haproxy", "nginx"])
def balanced(request: pytest.FixtureRequest, agents: Cluster) -> Iterator[Cluster]:
    """Behind either."""
    with balancer(request.param, agents) as started:
        await_true(lambda: started.serving() == [0, 1])
        yield started


@pytest.fixture
def behind_haproxy(agents: Cluster) -> Iterator[Cluster]:
    """Behind HAProxy."""
    with balancer("haproxy", agents) as started:
        await_true(lambda: started.serving() == [0, 1])
        yield started


@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
def test_its_own_check_takes_the_file(kind: str, agents: Cluster) -> None:
    """Without a warning."""
    said = check(kind, agents)
    assert said.returncode == 0, said.stderr
    assert "WARN" not in said.stderr.upper()


def test_requests_are_spread_and_of_their_clients(balanced: Cluster) -> None:
    """Each agent has its part, and its audit log names the clients, not the balancer."""
    assert balanced.serving() == [0, 1]
    for source in ("127.0.0.9", "127.0.0.10", PROXY):
        status, request_id = balanced.read(source)
        assert (status, balanced.served_by(request_id)[1]) == (200, source)


def test_a_client_that_is_no_proxy_reaches_an_agent_itself(agents: Cluster) -> None:
    """And the balancer's machine does not, without the header."""
    one = agents.agents[0]
    assert agents.direct(one, "GET", SECRET)[0] == 200
    with pytest.raises(BROKEN):
        agents.direct(one, "GET", SECRET, source=PROXY)


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept", "new"])
def test_the_other_takes_over_from_one_that_dies(balanced: Cluster, *, keep_alive: bool) -> None:
    """No request fails but those in flight, and after its start it serves again.

    The kernel closes a process's sockets one after another, so a client may lose a connection and
    then one more that still waits to be accepted.
    """
    dying = balanced.agents[1]
    with Load(balanced, keep_alive=keep_alive) as load:
        load.await_more()
        dying.kill()
        load.await_more()
        assert balanced.serving() == [0]
        load.await_more()
    assert set(load.statuses) == {200}
    assert len(load.errors) <= 2 * load.CLIENTS
    dying.start()
    await_true(lambda: balanced.serving() == [0, 1])


def test_an_agent_stops_in_order(balanced: Cluster) -> None:
    """Answers in flight are given; what comes then goes to the other.

    A connection that is not accepted yet, or in its TLS handshake, is cut: each of the two workers
    stops on its own, so a client may meet both.
    """
    stopping = balanced.agents[0]
    with Load(balanced, keep_alive=False) as load:
        load.await_more()
        assert stopping.stop() == 0
        load.await_more()
        assert balanced.serving() == [1]
    assert set(load.statuses) == {200}
    assert len(load.errors) <= 2 * load.CLIENTS
    stopping.start()
    await_true(lambda: balanced.serving() == [0, 1])


def test_an_agent_that_is_taken_out_first_fails_nobody(behind_haproxy: Cluster) -> None:
    """In HAProxy's state `drain` it gets no new connection, so its stop breaks none."""
    stopping = behind_haproxy.agents[0]
    with Load(behind_haproxy, keep_alive=False) as load:
        load.await_more()
        assert command_haproxy(behind_haproxy, "set server agents/agent-1 state drain") == "\n"
        await_true(lambda: behind_haproxy.serving() == [1])
        load.await_more()
        assert stopping.stop() == 0
        load.await_more()
        stopping.start()
        command_haproxy(behind_haproxy, "set server agents/agent-1 state ready")
        await_true(lambda: behind_haproxy.serving() == [0, 1])
    assert set(load.statuses) == {200}
    assert load.errors == []


def test_a_sealed_agent_gets_nothing(behind_haproxy: Cluster) -> None:
    """Its health check tells; clients that were connected to it can be sent to the other."""
    sealed = behind_haproxy.agents[0]
    kept = [behind_haproxy.connect() for _ in range(4)]
    served = [behind_haproxy.served_by(connection.call()[1])[0] for connection in kept]
    assert behind_haproxy.direct(sealed, "PUT", "/v1/sys/seal")[0] == 204
    await_true(lambda: "DOWN" in state_at_haproxy(behind_haproxy, "agent-1"))
    for _ in range(3):
        assert behind_haproxy.serving() == [1]
    assert sealed in served
    said = command_haproxy(behind_haproxy, "shutdown sessions server agents/agent-1")
    assert said == "\n"
    for connection, agent in zip(kept, served, strict=True):
        if agent is sealed:
            with pytest.raises(BROKEN):
                connection.call()
            connection.close()
        assert connection.call()[0] == 200
        connection.close()
    key = b64encode((sealed.folder / "root.key").read_bytes()).decode()
    assert behind_haproxy.direct(sealed, "PUT", "/v1/sys/unseal", {"key": key})[0] == 200
    await_true(lambda: behind_haproxy.serving() == [0, 1])
