"""Moving in: what a real OpenBao holds is copied to an agent."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hvac
import pytest

from tests.acceptance.agent import Form
from tests.acceptance.command import freehold
from tests.acceptance.compat.conftest import Both

POLICY = 'path "moved/*" {\n  capabilities = ["read"]\n}\n'


def import_from(both: Both, folder: Path, *more: str) -> list[dict[str, str]]:
    """The rows of the result."""
    source, target = both
    token = folder / "token"
    token.write_text(source.token)
    environment = {"FREEHOLD_ADDR": target.address, "FREEHOLD_TOKEN": target.token}
    command = ("import", "vault", "--addr", source.address, "--token-file", str(token))
    ran = freehold(*command, "-o", "json", *more, environment=environment)
    assert ran.returncode == 0, ran.stderr
    assert "one-secret" not in ran.stdout + ran.stderr
    found: list[dict[str, str]] = json.loads(ran.stdout)
    return found


def results(rows: list[dict[str, str]], prefix: str) -> dict[str, str]:
    """Of the names that begin so."""
    return {row["name"]: row["result"] for row in rows if row["name"].startswith(prefix)}


@pytest.fixture(scope="session")
def form() -> Form:
    """One is enough: a copy is made of requests that other tests make of each."""
    return Form(2)


@pytest.fixture
def source(both: Both) -> hvac.Client:
    """A client of the OpenBao, which holds secrets of all kinds."""
    return hvac.Client(url=both[0].address, token=both[0].token)


def test_everything_that_can_be_read_moves(both: Both, source: hvac.Client, folder: Path) -> None:
    """Versions, settings, policies, roles, people; a second run finds all of it there."""
    mount = f"moved-{both[1].address.rpartition(':')[2]}"
    kv = source.secrets.kv
    source.sys.enable_secrets_engine("kv", path=mount, options={"version": "2"})
    source.sys.enable_secrets_engine("kv", path=f"{mount}-1", options={"version": "1"})
    for number in range(1, 5):
        kv.v2.create_or_update_secret("a/b", {"k": f"one-secret-{number}"}, mount_point=mount)
    kv.v2.destroy_secret_versions("a/b", [2], mount_point=mount)
    kv.v2.delete_secret_versions("a/b", [3], mount_point=mount)
    kv.v2.update_metadata(
        "a/b", max_versions=7, custom_metadata={"team": "blue"}, mount_point=mount
    )
    kv.v2.create_or_update_secret("c", {"deep": {"n": 12345678901234567890}}, mount_point=mount)
    kv.v1.create_or_update_secret("d", {"k": "one-secret"}, mount_point=f"{mount}-1")
    source.sys.create_or_update_acl_policy(mount, POLICY, pretty_print=False)
    source.sys.enable_auth_method("approle", path=mount)
    source.auth.approle.create_or_update_approle(
        "web", token_policies=[mount], token_ttl="20m", mount_point=mount
    )
    role_id = source.auth.approle.read_role_id("web", mount_point=mount)["data"]["role_id"]

    planned = import_from(both, folder, "--dry-run")
    assert results(planned, f"{mount}/")[f"{mount}/a/b"] == "would be copied"
    client = hvac.Client(url=both[1].address, token=both[1].token)
    assert f"{mount}/" not in client.sys.list_mounted_secrets_engines()["data"]

    done = results(import_from(both, folder), mount)
    assert done[f"{mount}/a/b"] == "copied"
    assert done[f"{mount}-1/d"] == "copied"
    assert done[f"{mount}/web"] == "partly"

    found = client.secrets.kv.v2.read_secret_metadata("a/b", mount_point=mount)["data"]
    assert (found["current_version"], found["max_versions"]) == (4, 7)
    assert found["custom_metadata"] == {"team": "blue"}
    assert [found["versions"][n]["destroyed"] for n in "1234"] == [False, True, True, False]

    def value(name: str, **more: Any) -> Any:
        read = client.secrets.kv.v2.read_secret_version(
            name, mount_point=mount, raise_on_deleted_version=True, **more
        )
        return read["data"]["data"]

    assert value("a/b", version=1) == {"k": "one-secret-1"}
    assert value("a/b") == {"k": "one-secret-4"}
    assert client.secrets.kv.v1.read_secret("d", mount_point=f"{mount}-1")["data"] == {
        "k": "one-secret"
    }
    assert client.sys.read_acl_policy(mount)["data"]["policy"] == POLICY
    moved = client.auth.approle
    assert moved.read_role_id("web", mount_point=mount)["data"]["role_id"] == role_id
    assert moved.read_role("web", mount_point=mount)["data"]["token_ttl"] == 1200

    again = results(import_from(both, folder), f"{mount}/")
    assert {again[f"{mount}/a/b"], again[f"{mount}/c"]} == {"there already"}
    kv.v2.create_or_update_secret("a/b", {"k": "one-secret-5"}, mount_point=mount)
    client.secrets.kv.v2.create_or_update_secret("c", {"k": "own"}, mount_point=mount)
    third = results(import_from(both, folder, "--mount", mount), f"{mount}/")
    assert third == {f"{mount}/a/b": "copied", f"{mount}/c": "not copied"}
    assert value("a/b") == {"k": "one-secret-5"}
    assert value("c") == {"k": "own"}


class Liar(BaseHTTPRequestHandler):
    """A source that names the agent's own API as a mount of secrets."""

    def do_GET(self) -> None:
        """What is asked for in turn: mounts, folders, a value."""
        path = self.path.partition("?")[0]
        mount = {"type": "kv", "options": {"version": "None"}}
        answers: dict[str, Any] = {
            "/v1/sys/mounts": {"sys/": mount, "cubbyhole/": mount},
            "/v1/sys/": {"keys": ["policies/acl/planted"]},
            "/v1/cubbyhole/": {"keys": ["planted"]},
            "/v1/sys/policies/acl/planted": {"policy": POLICY},
            "/v1/cubbyhole/planted": {"a": 1},
        }
        body = json.dumps({"data": answers.get(path, {})}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def test_a_source_that_lies_writes_nothing_but_secrets(both: Both, folder: Path) -> None:
    """The operator's token is not lent to whoever runs the other server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        liar: Any = SimpleNamespace(address=address, token="t")
        rows = import_from((liar, both[1]), folder)
        server.shutdown()
    assert results(rows, "sys/") == {"sys/": "not copied"}
    assert results(rows, "cubbyhole/").get("cubbyhole/planted") is None
    client = hvac.Client(url=both[1].address, token=both[1].token)
    assert "planted" not in client.sys.list_acl_policies()["data"]["keys"]
