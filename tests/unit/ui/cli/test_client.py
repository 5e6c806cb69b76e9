import json
from collections.abc import Callable

import httpx2
import pytest

from tests.unit.ui.cli.conftest import FakeAgent
from ui.cli.client import ApiClient
from ui.cli.connection_settings import AGENT, CONTROL_PLANE, ConnectionSettings
from ui.cli.errors import CliError, Exit, StepUpError
from vault.edge.router import Router
from vault.errors import NotFoundError

ADDRESS = "http://127.0.0.1:8200"
Handler = Callable[[httpx2.Request], httpx2.Response]


def client(handler: Handler, *, token: str = "tok", address: str = ADDRESS) -> ApiClient:
    """A client whose requests go to this function."""
    return ApiClient(ConnectionSettings(address, token, "", "", ""), httpx2.MockTransport(handler))


def answering(status: int, body: object) -> ApiClient:
    """A client that always gets this answer."""
    return client(lambda _: httpx2.Response(status, content=json.dumps(body).encode()))


def failure(talker: ApiClient) -> CliError:
    """The error of any call."""
    with pytest.raises(CliError) as failed:
        talker.call("GET", "/x")
    return failed.value


def test_a_call_sends_what_it_was_given() -> None:
    """The token as a bearer, the body as JSON, the query without what is empty."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == "Bearer tok"
        assert request.headers["user-agent"] == "freehold-cli"
        assert request.headers["content-type"] == "application/json"
        assert request.url.raw_path == b"/x?a=1"
        return httpx2.Response(200, json=json.loads(request.content))

    told = client(handler).call("POST", "/x", {"b": 2}, query={"a": 1, "c": None, "d": ""})
    assert told == {"b": 2}


def test_an_empty_answer_is_none() -> None:
    """As after a deletion."""
    assert client(lambda _: httpx2.Response(204)).call("DELETE", "/x") is None


def test_a_merge_names_its_media_type() -> None:
    """The agent takes a merge patch under its own type only."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["content-type"] == "application/merge-patch+json"
        assert (request.method, request.url.raw_path) == ("PATCH", b"/x?cas=0")
        return httpx2.Response(200, json={})

    assert client(handler).merge_patch("/x", {"a": None}, query={"cas": 0}) == {}


@pytest.mark.parametrize(
    ("message", "field", "shown"),
    [
        ("this is no address", "url", "this is no address (url)"),
        (
            "body: plan.percentages[0] is odd",
            "plan.percentages[0]",
            "body: plan.percentages[0] is odd",
        ),
        ("renamed", "name", "renamed (name)"),
    ],
)
def test_a_field_that_the_message_does_not_name_is_shown(
    message: str, field: str, shown: str
) -> None:
    """Once."""
    body = {"message": message, "code": "c", "details": {"field": field}}
    assert str(failure(answering(400, body))) == shown
    assert str(failure(answering(400, {**body, "details": {}}))) == message


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, Exit.ERROR), (401, Exit.DENIED), (403, Exit.DENIED), (404, Exit.NOT_FOUND),
     (409, Exit.CONFLICT), (429, Exit.BUSY), (500, Exit.ERROR), (503, Exit.BUSY)],
)  # fmt: skip
def test_a_status_becomes_an_exit_code(status: int, code: Exit) -> None:
    """With the agent's own words and the id of the request."""
    failed = failure(answering(status, {"message": "no", "code": "c", "request_id": "r1"}))
    assert failed.exit_code is code
    assert str(failed).startswith("no")
    assert str(failed).endswith("(request r1)")


@pytest.mark.parametrize(
    "body", [{"code": "sealed", "message": "m"}, {"errors": ["Vault is sealed"]}]
)
def test_a_sealed_vault_is_told_with_what_to_do(body: object) -> None:
    """In both dialects."""
    failed = failure(answering(503, body))
    assert failed.exit_code is Exit.SEALED
    assert "freehold operator unseal" in str(failed)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, {"code": "not_initialized", "message": "no: run `freehold operator init` once"}),
        (503, {"errors": ["Vault is not initialized: run `freehold operator init` once"]}),
        (400, {"errors": ["Vault is not initialized"]}),
    ],
)
def test_a_vault_that_is_not_made_is_told_with_what_to_do(status: int, body: object) -> None:
    """In both dialects; that it is sealed would send one to shares that nobody has."""
    failed = failure(answering(status, body))
    assert failed.exit_code is Exit.SEALED
    assert str(failed).count("freehold operator init") == 1
    assert "unseal" not in str(failed)


def test_a_refused_credential_says_whether_there_was_one() -> None:
    """No token and a wrong one are different mistakes."""
    body = json.dumps({"message": "permission denied"}).encode()
    refused = lambda _: httpx2.Response(401, content=body)  # noqa: E731  # two lines would hide it
    assert "there is no token" in str(failure(client(refused, token="")))
    assert "unknown or expired" in str(failure(client(refused)))


@pytest.mark.parametrize("status", [200, 404, 502])
@pytest.mark.parametrize("content", [b"<html>", b"[]x", b"\xff"])
def test_an_answer_that_is_no_agents_is_told(status: int, content: bytes) -> None:
    """A proxy's page never becomes a traceback, nor is it shown."""
    failed = failure(client(lambda _: httpx2.Response(status, content=content)))
    assert failed.exit_code is Exit.UNREACHABLE
    assert "is FREEHOLD_ADDR right?" in str(failed)
    assert "<html>" not in str(failed)


@pytest.mark.parametrize(
    "body",
    [
        [1],
        {"message": "m", "details": "see the manual"},
        {"message": "m", "details": ["x"]},
        {"message": 5},
        {"errors": None},
        {"errors": [1]},
        {"errors": "x"},
    ],
)
def test_an_error_of_another_form_is_no_agents(body: object) -> None:
    """A stranger's JSON never becomes a traceback, nor is it shown."""
    failed = failure(answering(404, body))
    assert failed.exit_code is Exit.UNREACHABLE
    assert "not as a Freehold agent does" in str(failed)


def test_an_error_without_words_is_the_agents_all_the_same() -> None:
    """So the Vault dialect tells what is not there; details may be left out or null."""
    assert failure(answering(404, {"errors": []})).exit_code is Exit.NOT_FOUND
    assert failure(answering(404, {"message": "m", "details": None})).exit_code is Exit.NOT_FOUND


def test_no_connection_is_told_with_what_to_look_at() -> None:
    """For plain calls and for merges."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)

    assert failure(client(handler)).exit_code is Exit.UNREACHABLE
    with pytest.raises(CliError, match=r"cannot reach .*FREEHOLD_ADDR"):
        client(handler).merge_patch("/x", {})


@pytest.mark.parametrize("address", ["http://vault.example", "http://10.0.0.1:8200"])
def test_a_token_is_not_sent_in_clear_to_another_machine(address: str) -> None:
    """Not even the connection is made; without a token it may be."""
    with pytest.raises(CliError, match="has no TLS"):
        client(lambda _: httpx2.Response(500), address=address)
    without = client(lambda _: httpx2.Response(204), address=address, token="")
    assert without.call("GET", "/x") is None


def test_nor_is_what_a_request_holds() -> None:
    """A password to sign in with, a share to unseal with: they come without any token."""
    seen: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(204)

    without = client(handler, address="http://10.0.0.1:8200", token="")
    with pytest.raises(CliError, match="has no TLS"):
        without.call("POST", "/x", {"password": "p"})
    with pytest.raises(CliError, match="has no TLS"):
        without.merge_patch("/x", {"a": 1})
    assert not seen


@pytest.mark.parametrize(
    "address", ["http://localhost:1", "http://[::1]:1", "https://vault.example"]
)
def test_a_token_is_sent_on_this_machine_and_over_tls(address: str) -> None:
    """Every name of the loopback counts."""
    assert client(lambda _: httpx2.Response(204), address=address).call("GET", "/x") is None


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_nothing_goes_through_a_proxy_of_the_environment(
    agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, variable: str, host: str
) -> None:
    """What is for this machine would leave it in clear: token, password and all."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, agent.address)
    agent.answer({})
    settings = ConnectionSettings(f"http://{host}:1", "tok", "", "", "")  # nobody listens there
    with pytest.raises(CliError, match="cannot reach"):
        ApiClient(settings).call("POST", "/x", {"password": "p"})
    assert not agent.seen


@pytest.mark.parametrize("address", ["vault.example", "http://", "ftp://x", "http://[::"])
def test_what_is_no_address_is_told(address: str) -> None:
    """With what one looks like."""
    with pytest.raises(CliError, match="looks like https://HOST:PORT"):
        client(lambda _: httpx2.Response(204), address=address)


@pytest.mark.parametrize(
    "address",
    [
        "https://user:hunter2@127.0.0.1:1",
        "http://hunter2@10.0.0.1",
        "https://u:hun/ter2@h",
        "u:hunter2@h",
    ],
)
@pytest.mark.parametrize("token", ["", "tok"])
def test_an_address_with_a_password_is_refused_without_being_shown(
    address: str, token: str
) -> None:
    """It would be in each message of a connection that is not made."""
    with pytest.raises(CliError, match="FREEHOLD_TOKEN") as refused:
        client(lambda _: httpx2.Response(204), token=token, address=address)
    assert not any(half in str(refused.value) for half in ("hun", "ter2"))


@pytest.mark.parametrize("token", ["gehéim", "secret\n", "two\nlines", "nul\0"])
def test_a_token_that_cannot_be_sent_is_refused_without_being_shown(token: str) -> None:
    """A header is ASCII on one line; over the network the client would quote another one."""
    with pytest.raises(CliError, match="plain ASCII") as refused:
        client(lambda _: httpx2.Response(204), token=token)
    assert token[:3] not in str(refused.value)


def test_certificates_that_are_not_there_are_told(tmp_path: object) -> None:
    """One line, not a traceback of ssl."""
    settings = ConnectionSettings(ADDRESS, "", f"{tmp_path}/nosuch.pem", "", "")
    with pytest.raises(CliError, match="cannot load certificates"):
        ApiClient(settings)
    settings = ConnectionSettings(ADDRESS, "", "", f"{tmp_path}/nosuch.pem", "")
    with pytest.raises(CliError, match="cannot load certificates"):
        ApiClient(settings)


def test_what_asks_for_proof_is_sent_again_once_it_was_shown() -> None:
    """Once: who shows nothing gets the refusal, with the way to sign in."""
    asked: list[str] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        if asked.count("/x") == 2:
            return httpx2.Response(204)
        return httpx2.Response(403, json={"code": "step_up", "message": "show", "request_id": "r"})

    def talker(*, proves: bool) -> ApiClient:
        settings = ConnectionSettings(ADDRESS, "tok", "", "", "")
        return ApiClient(settings, httpx2.MockTransport(handler), lambda _: proves)

    error = failure(talker(proves=False))
    assert asked == ["/x"]
    assert (error.exit_code, "login" in str(error)) == (Exit.DENIED, True)
    asked.clear()
    assert talker(proves=True).call("POST", "/x", {"b": 2}) is None
    assert asked == ["/x", "/x"]
    asked.extend(["/x"])
    assert isinstance(failure(talker(proves=True)), StepUpError)


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "step_up", "login` again, then `unset FREEHOLD_CONTROL_TOKEN` or set it anew"),
        (401, "unauthenticated", "token in FREEHOLD_CONTROL_TOKEN is unknown or expired: unset it"),
    ],
)
def test_a_token_of_the_environment_is_told_by_its_name(status: int, code: str, says: str) -> None:
    """It goes on winning over what `login` keeps: to sign in again alone does not help."""
    reply = httpx2.Response(status, json={"code": code, "message": "no", "request_id": "r"})
    for variable in ("FREEHOLD_CONTROL_TOKEN", ""):
        settings = ConnectionSettings(ADDRESS, "tok", "", "", "", CONTROL_PLANE, variable)
        error = failure(ApiClient(settings, httpx2.MockTransport(lambda _: reply)))
        assert (says in str(error)) == bool(variable)
        assert error.exit_code is Exit.DENIED
        assert "freehold fleet login" in str(error)


def test_an_agent_is_no_control_plane_nor_the_other_way_round() -> None:
    """Each is known by how it refuses a path that it does not have: the agent's own router here."""
    with pytest.raises(NotFoundError) as refused:
        Router().match("GET", "whoami")
    path = {"code": refused.value.code, "message": refused.value.message}
    plane = {"code": "not_found", "message": "there is no such path"}
    for peer, other, own in ((CONTROL_PLANE, path, plane), (AGENT, plane, path)):
        settings = ConnectionSettings(ADDRESS, "", "", "", "", peer)
        for body, code in ((other, Exit.UNREACHABLE), (own, Exit.NOT_FOUND)):
            reply = httpx2.Response(404, json=body)
            error = failure(ApiClient(settings, httpx2.MockTransport(lambda _, told=reply: told)))
            assert error.exit_code is code
            assert (f"is no {peer.name}" in str(error)) == (code is Exit.UNREACHABLE)


def test_faults_of_a_document_are_a_line_each_and_wrong_usage() -> None:
    """All that the server has found, and no more of them than there are."""
    faults = [
        {"field": "rules[0].paths", "message": "is empty"},
        {"field": "", "message": "is odd"},
    ]
    body = {
        "type": "validation", "code": "policy_invalid", "request_id": "r",
        "message": "rules[0].paths is empty (and 1 more)",
        "details": {"field": "rules[0].paths", "errors": faults},
    }  # fmt: skip
    told = failure(answering(400, body))
    assert told.lines == (
        "rules[0].paths is empty (request r)",
        "the document is odd (request r)",
    )
    assert told.exit_code is Exit.USAGE
    body["details"] = {"field": "rules[0].paths", "errors": faults[:1]}
    body["message"] = "rules[0].paths is empty"
    assert failure(answering(400, body)).lines == ("rules[0].paths is empty (request r)",)


def test_what_names_its_remedy_names_no_field() -> None:
    """The field would read as a part of the command."""
    told = "there is no mount at a/: create it with 'freehold mount create a/'"
    body = {"type": "validation", "message": told, "details": {"field": "name"}}
    assert str(failure(answering(400, body))) == told
