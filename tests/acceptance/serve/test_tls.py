"""Production over TLS: the file key, client certificates, certificates renewed under way."""

import http.client
import os
import re
import signal
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.acceptance.agent import Agent, running, served_agent
from tests.acceptance.workers.waiting import await_true

pytestmark = pytest.mark.usefixtures("workers")


class Pki:
    """An authority with a server's certificate on disk, and contexts for clients."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca, self.cert = folder / "ca.pem", folder / "server.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.issue()

    def issue(self, not_after: datetime | None = None) -> None:
        """A new certificate for the server, in the place of the old one."""
        made = self.authority.issue_cert("127.0.0.1", "localhost", not_after=not_after)
        self.cert.touch(mode=0o600)
        made.private_key_and_cert_chain_pem.write_to_path(str(self.cert))

    def context(self, client_of: trustme.CA | None = None) -> ssl.SSLContext:
        """Trusts this authority; shows a client certificate of `client_of`."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if client_of is not None:
            client_of.issue_cert("client@example.org").configure_cert(context)
        return context

    def config(self, client_auth: str = "none", **more: Any) -> dict[str, Any]:
        """The section of the settings file."""
        files = {"cert_file": str(self.cert), "key_file": str(self.cert)}
        trust = {} if client_auth == "none" else {"ca_file": str(self.ca)}
        tls = {"enabled": True, "client_auth": client_auth, **files, **trust}
        return {"server": {"listen": "127.0.0.1:0", "tls": tls}, **more}


def test_required_client_certificates_are_required(folder: Path) -> None:
    """None, or one of another authority: no answer at all. One of ours: served, over TLS only."""
    pki = Pki(folder)
    agent = served_agent(folder, pki.config("required"))
    agent.tls = pki.context(pki.authority)
    with running(agent):
        assert agent.call("GET", "/v1/sys/health").status == 501
        for stranger in (pki.context(), pki.context(trustme.CA())):
            agent.tls = stranger
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
                agent.call("GET", "/v1/sys/health")
        agent.tls = None
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            agent.call("GET", "/v1/sys/health")
        agent.tls = pki.context(pki.authority)
        assert agent.call("GET", "/v1/sys/health").status == 501
    assert "Traceback" not in agent.output()


def test_a_key_file_opens_the_vault_at_each_start(folder: Path) -> None:
    """Init opens at once, a restart opens by itself; without its key file the start says so."""
    pki, key = Pki(folder), folder / "root.key"
    encryption = {"key_management": "file", "key_file": str(key)}
    agent = served_agent(folder, pki.config(encryption=encryption))
    agent.tls = pki.context()
    with running(agent):
        made = agent.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        agent.token = made.json["root_token"]
        assert agent.call("GET", "/v1/sys/health").status == 200
        assert key.stat().st_mode & 0o777 == 0o600
        body = {"type": "kv", "options": {"version": "2"}}
        assert agent.call("POST", "/v1/sys/mounts/secret", body).status == 204
        assert agent.call("POST", "/v1/secret/data/a", {"data": {"a": 1}}).status == 200
    with running(agent):
        assert agent.call("GET", "/v1/secret/data/a").json["data"]["data"] == {"a": 1}
    _need_refused_start(agent, key)


def _need_refused_start(agent: Agent, key: Path) -> None:
    content = key.read_bytes()
    for spoil, word in (
        (lambda: key.write_bytes(content[:-5]), "key_file"),
        (lambda: (key.write_bytes(content), key.chmod(0o644)), "key_file"),
        (key.unlink, "key_file"),
    ):
        spoil()
        refused = agent.refused_start()
        assert re.search(word, refused)
        assert "Traceback" not in refused
    key.touch(mode=0o600)
    key.write_bytes(content)
    with running(agent):
        assert agent.call("GET", "/v1/secret/data/a").status == 200


def test_sighup_loads_new_certificates_and_keeps_connections(folder: Path) -> None:
    """New connections see the new certificate, old ones go on; a bad file changes nothing."""
    pki = Pki(folder)
    agent = served_agent(folder, pki.config())
    agent.tls = pki.context()
    with running(agent), agent.client() as old:
        assert old.call("GET", "/v1/sys/health").status == 501
        first = _serial(agent)
        pki.issue()
        _reload(agent)
        await_true(lambda: _serial(agent) != first)
        assert old.call("GET", "/v1/sys/health").status == 501
        second = _serial(agent)
        pki.cert.write_text("not a certificate")
        _reload(agent)
        await_true(lambda: "certificates not reloaded" in agent.output())
        assert _serial(agent) == second
        assert agent.call("GET", "/v1/sys/health").status == 501
    assert "Traceback" not in agent.output()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_expired_certificate_is_not_taken(workers: int, folder: Path) -> None:
    """The one in force stays, and the log says why; a start with it is possible, with a warning."""
    pki = Pki(folder)
    config = pki.config()
    config["server"]["workers"] = workers
    agent = served_agent(folder, config)
    agent.tls = pki.context()
    expired = "expired on 2001-01-01T00:00:00Z"
    with running(agent):
        first = _serial(agent)
        pki.issue(datetime(2001, 1, 1, tzinfo=UTC))
        _reload(agent)
        await_true(lambda: agent.output().count("certificates not reloaded") == workers)
        assert expired in agent.output()
        assert _serial(agent) == first
        assert agent.call("GET", "/v1/sys/health").status == 501
    with running(agent):
        assert f"certificate_not_valid reason=certificate {pki.cert} {expired}" in agent.output()


def _reload(agent: Agent) -> None:
    assert agent.process is not None
    os.kill(agent.process.pid, signal.SIGHUP)


def _serial(agent: Agent) -> str:
    """What tells the certificate that a new connection is shown."""
    return ssl.get_server_certificate(("127.0.0.1", agent.port))
