"""TLS in every process: certificates renewed under way, and a start that cannot be."""

import os
import signal
from pathlib import Path

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.serve.test_tls import Pki
from tests.acceptance.workers.fleet import pinned
from tests.acceptance.workers.waiting import await_true


def tls_agent(folder: Path, pki: Pki) -> Agent:
    """Two workers behind TLS, not started."""
    config = pki.config()
    config["server"]["workers"] = 2
    agent = served_agent(folder, config)
    agent.tls = pki.context()
    return agent


def certificates(agent: Agent) -> set[bytes]:
    """What new connections to all workers are shown."""
    with pinned(agent) as clients:
        wires = [client._connection.sock for client in clients]  # a test's own class
        shown = [wire.getpeercert(binary_form=True) for wire in wires]
    return set(shown)


def test_certificates_are_renewed_in_all(folder: Path) -> None:
    """After SIGHUP every worker shows the new one; the vault is used through each of them."""
    pki = Pki(folder)
    with running(tls_agent(folder, pki)) as agent:
        made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
        assert agent.call("PUT", "/v1/sys/unseal", {"key": made["keys"][0]}).json["sealed"] is False
        agent.token = made["root_token"]
        before = certificates(agent)
        assert len(before) == 1
        pki.issue()
        os.kill(agent.process.pid if agent.process else 0, signal.SIGHUP)
        await_true(lambda: not certificates(agent) & before)
        with pinned(agent) as clients:
            found = [client.call("GET", "/api/v1/secrets/none").status for client in clients]
        assert found == [404, 404]
    assert "Traceback" not in agent.output()


def test_a_certificate_that_cannot_be_used(folder: Path) -> None:
    """The agent says so and does not start."""
    pki = Pki(folder)
    agent = tls_agent(folder, pki)
    pki.cert.write_text("no certificate")
    assert str(pki.cert) in agent.refused_start()
