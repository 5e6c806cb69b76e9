"""Clients with certificates at a real agent over TLS."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.agent import Agent, own_folder, running, served_agent
from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Of the server and its clients."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def agent(workers: int, authority: Authority) -> Iterator[Agent]:
    """Open, over TLS, asking for certificates."""
    certificate, key = authority.issue("server", "127.0.0.1")
    tls = {
        "cert_file": str(certificate),
        "key_file": str(key),
        "ca_file": str(authority.file),
        "client_auth": "optional",
    }
    server = {"listen": "127.0.0.1:0", "workers": workers, "tls": tls}
    with own_folder() as folder:
        found = served_agent(folder, {"server": server})
        found.tls = context(authority)
        with running(found):
            made = found.call("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
            found.token = made.json["root_token"]
            share = made.json["keys_base64"][0]
            assert found.call("PUT", "/v1/sys/unseal", {"key": share}).status == 200
            yield found


def context(authority: Authority, files: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """A client's."""
    made = ssl.create_default_context(cafile=authority.file)
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if files is not None:
        made.load_cert_chain(*files)
    return made


def test_a_token_counts_with_its_certificate_alone(agent: Agent, authority: Authority) -> None:
    """Neither without one, nor with another of the same authority."""
    call = agent.call
    assert call("POST", "/v1/sys/auth/cert", {"type": "cert"}).status == 204
    role = {"certificate": authority.file.read_text(), "allowed_common_names": "job"}
    assert call("POST", "/v1/auth/cert/certs/jobs", role).status == 204
    plain, own, other = (
        context(authority),
        context(authority, authority.issue("job", "127.0.0.1")),
        context(authority, authority.issue("another", "127.0.0.1")),
    )
    root, agent.token = agent.token, ""
    answers = {}
    for name, tls in (("plain", plain), ("own", own), ("other", other)):
        agent.tls = tls
        answers[name] = call("POST", "/v1/auth/cert/login", {})
    assert [answer.status for answer in answers.values()] == [400, 200, 400]
    auth = answers["own"].json["auth"]
    assert auth["metadata"]["common_name"] == "job"
    agent.token = auth["client_token"]
    for tls, status in ((own, 200), (plain, 403), (other, 403)):
        agent.tls = tls
        assert call("GET", "/v1/auth/token/lookup-self").status == status
    agent.tls, agent.token = plain, root
