"""Planted values, searched for in every byte that the agent wrote or answered an error with.

In clear by design, and here the proof that the search finds what is there: names of secrets, tags,
metadata, users and API keys, and the user agent. The keys of an object that is a value are in clear
in the audit log, which hashes values and keeps their structure; they are sealed everywhere else.
Everything else that was planted must not be found.
"""

import json
import random
import string
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.agent import Agent, Answer, own_folder, running, served_agent
from tests.acceptance.command import freehold
from vault.seal.root_keys.shares import SealConfig, ShareCollection

pytestmark = pytest.mark.usefixtures("workers")

SHARES, THRESHOLD = 5, 3
MERGE: Final = {"Content-Type": "application/merge-patch+json"}
CHANCE: Final = random.Random(7)  # noqa: S311  # chance of a test, not a key


class Planted:
    """What was sent to an agent, and all that it wrote or said of it."""

    def __init__(self) -> None:
        self.hidden: dict[str, bytes] = {}
        self.keys: dict[str, bytes] = {}
        self.clear: dict[str, bytes] = {}
        self.written: dict[str, bytes] = {}

    def hide(self, what: str, text: str = "") -> str:
        """A value that may be found nowhere."""
        return self._keep(self.hidden, what, text)

    def key(self, what: str) -> str:
        """A key of an object that is a value: it may be found in the audit log alone."""
        return self._keep(self.keys, what, "")

    def show(self, what: str) -> str:
        """A value that is clear text by design."""
        return self._keep(self.clear, what, "")

    def wrote(self, where: str, content: bytes) -> None:
        """Something to search."""
        self.written[f"{len(self.written)} {where}"] = content.strip(b"\0")  # of the reserve

    def heard(self, answer: Answer) -> Answer:
        """An error is something that was written, too."""
        if answer.status >= 400:
            self.wrote(f"answer {answer.status}", answer.body + json.dumps(answer.headers).encode())
        return answer

    @staticmethod
    def _keep(where: dict[str, bytes], what: str, text: str) -> str:
        text = text or "Zq" + "".join(CHANCE.choices(string.ascii_letters + string.digits, k=22))
        where[what] = text.encode()
        return text


def forms(value: bytes) -> Iterator[tuple[str, bytes]]:
    """The spellings that a leak could have."""
    yield "clear", value
    yield "reversed", value[::-1]
    yield "hex", value.hex().encode()
    yield "hex in capitals", value.hex().upper().encode()
    yield "JSON escapes", b"".join(b"\\u%04x" % byte for byte in value)
    yield "percent escapes", b"".join(b"%%%02x" % byte for byte in value)
    yield "UTF-16", value.decode("latin-1").encode("utf-16-le")
    for shift in range(3):
        encoded = b64encode(b"\0" * shift + value)
        yield f"base64 at {shift}", encoded[(0, 2, 3)[shift] : -4]  # what neighbours cannot change


def hits(planted: Planted, values: dict[str, bytes]) -> set[str]:
    """Where which value was found, in which form."""
    return {
        f"{what} in {where}, {form}"
        for what, value in values.items()
        for form, text in forms(value)
        for where, content in planted.written.items()
        if text in content
    }


@pytest.fixture(scope="module")
def planted(workers: int) -> Planted:  # one for each
    """An agent was given everything, sealed, killed and started again; all it wrote is kept."""
    found = Planted()
    with own_folder() as folder:
        agent = served_agent(folder)  # with `workers`
        with running(agent):
            shares = _initialise(agent, found)
            _unseal(agent, shares)
            _plant_credentials(agent, found)
            _plant_values(agent, found)
            _plant_failures(agent, found)
            _plant_by_command(agent, found)
            _read_all(agent, found, "running")
            assert agent.call("PUT", "/v1/sys/seal").status == 204
            found.heard(agent.call("GET", "/v1/secret/data/a"))
            _unseal(agent, shares[2:])
            agent.kill()
            _read_all(agent, found, "killed")
        with running(agent):
            _unseal(agent, shares)
            assert agent.call("GET", "/v1/secret/data/kept").status == 200
        _read_all(agent, found, "stopped")
    return found


def test_no_planted_value_is_found(planted: Planted) -> None:
    """No value, credential, share or key, in no spelling, in no file, output, metric or error."""
    assert len(planted.hidden) > 30
    assert hits(planted, planted.hidden) == set()


def test_keys_inside_values_are_in_the_audit_log_alone(planted: Planted) -> None:
    """The database, its write-ahead log, outputs and errors do not have them."""
    found = hits(planted, planted.keys)
    assert {hit for hit in found if " audit.log while " not in hit} == set()


def test_what_is_clear_by_design_is_found(planted: Planted) -> None:
    """The search sees: each of these lies in the database or the audit log as it was sent."""
    found = hits(planted, planted.clear)
    assert {hit.partition(" in ")[0] for hit in found if hit.endswith("clear")} == set(
        planted.clear
    )


def test_the_search_sees_every_form() -> None:
    """Each spelling is found in the middle of other bytes."""
    value = b"ZqSomethingThatIsLong123"
    for form, text in forms(value):
        assert len(text) >= 20, form
    for before in (b"", b"x", b"xy"):
        assert any(text in b64encode(before + value + b"end") for _, text in forms(value))


def _initialise(agent: Agent, found: Planted) -> list[str]:
    made = agent.call(
        "PUT", "/v1/sys/init", {"secret_shares": SHARES, "secret_threshold": THRESHOLD}
    ).json
    agent.token = found.hide("root token", made["root_token"])
    shares: list[str] = made["keys"]
    attempt = ShareCollection.begin(SealConfig(SHARES, THRESHOLD))
    for number, share in enumerate(shares):
        found.hidden[f"share {number}"] = bytes.fromhex(share)
        found.hide(f"share {number} as told", share)
        attempt = attempt if attempt.is_complete else attempt.add_share(bytes.fromhex(share))
    found.hidden["root key"] = attempt.combine()
    found.heard(agent.call("PUT", "/v1/sys/unseal", {"key": found.hide("no share")}))
    found.heard(agent.call("PUT", "/v1/sys/unseal", {"key": [found.hide("listed share")]}))
    return shares


def _unseal(agent: Agent, shares: list[str]) -> None:
    for share in shares[:THRESHOLD]:
        assert agent.call("PUT", "/v1/sys/unseal", {"key": share}).status == 200


def _plant_credentials(agent: Agent, found: Planted) -> None:
    """Tokens and keys that count, in headers and bodies."""
    mount = {"type": "kv", "options": {"version": "2"}}
    assert agent.call("POST", "/v1/sys/mounts/secret", mount).status == 204
    create = "/v1/auth/token/create"
    made = agent.call("POST", create, {"ttl": "1h"}).json["auth"]["client_token"]
    found.hide("token", made)
    found.hide("token's secret", made[-43:])
    chosen = found.hide("chosen token")
    assert agent.call("POST", create, {"id": chosen, "ttl": "1h"}).status == 200
    user = found.show("user name")
    assert agent.call("POST", "/api/v1/users", {"username": user}).status == 201
    key = agent.call("POST", "/api/v1/keys", {"user": user, "name": found.show("key name")})
    found.hide("API key", key.json["key"])
    for token in (made, chosen):
        assert agent.call("POST", "/v1/auth/token/lookup", {"token": token}).status == 200
        assert agent.call("GET", "/v1/auth/token/lookup-self", token=token).status == 200
    found.heard(agent.call("GET", "/api/v1/secrets", token=key.json["key"]))
    assert agent.call("POST", "/v1/auth/token/revoke", {"token": chosen}).status == 204


def _number(found: Planted, what: str) -> int:
    number = CHANCE.randrange(10**14, 9 * 10**15)  # exact in a double, too
    found.hide(what, str(number))
    return number


def _value(found: Planted, what: str) -> dict[str, Any]:
    return {
        "text": found.hide(f"{what} text"),
        "number": _number(found, f"{what} number"),
        "deep": {found.key(f"{what} key"): [found.hide(f"{what} item"), True]},
    }


def _plant_values(agent: Agent, found: Planted) -> None:
    """Values that are kept, changed and read, in both dialects."""
    value = _value(found, "compat")
    assert agent.call("POST", "/v1/secret/data/kept", {"data": value}).status == 200
    patch = {"data": {found.key("patched key"): found.hide("patched")}}
    assert agent.call("PATCH", "/v1/secret/data/kept", patch, headers=MERGE).status == 200
    name = found.show("name")
    described = {"tags": [found.show("tag")], "metadata": {found.show("field"): found.show("meta")}}
    body = {"name": f"secret/{name}", "value": _value(found, "native"), **described}
    agent_name = {"User-Agent": found.show("user agent")}
    assert agent.call("POST", "/api/v1/secrets", body, headers=agent_name).status == 201
    path = f"/api/v1/secrets/secret/{name}"
    assert agent.call("PUT", path, {"value": found.hide("only text")}).status == 200
    assert agent.call("PUT", path, {"value": _number(found, "only number")}).status == 200
    assert agent.call("POST", f"/api/v1/rollback/secret/{name}", {"version": 1}).status == 200
    merge = {found.key("merged key"): found.hide("merged")}
    assert agent.call("PATCH", path, merge, headers=MERGE).status == 200
    for read in (path, "/v1/secret/data/kept", "/v1/secret/subkeys/kept"):
        assert agent.call("GET", read).status == 200


def _plant_failures(agent: Agent, found: Planted) -> None:
    """What fails must not say or keep what it failed on."""
    hide, heard = found.hide, found.heard
    for method, path in (("POST", "/v1/secret/data/a"), ("PUT", "/api/v1/secrets/secret/a")):
        stale = {"data": {"a": hide(f"{path} stale")}, "options": {"cas": 9}}
        stale |= {"value": hide(f"{path} native stale"), "cas": 9}
        cas = {"options": {"cas": hide(f"{path} cas")}, "data": {}}
        cas |= {"value": 1, "cas": hide(f"{path} native cas")}
        for body in (
            f'{{"data": {{"a": "{hide(f"{path} cut")}',
            f'"{hide(f"{path} bare")}"',
            f'{{"data": "{hide(f"{path} mistyped")}", "value": NaN}}',
            json.dumps(stale),
            json.dumps(cas),
        ):
            answer = heard(agent.call(method, path, body.encode()))
            assert 400 <= answer.status < 500, answer
    for path in (f"/{hide('route')}", f"/api/v1/{hide('native route')}", f"/v1/sys/{hide('sys')}"):
        heard(agent.call("GET", path))
    for path in ("/v1/secret/data/none", "/api/v1/secrets/secret/none", "/none"):
        for header in (
            "X-Vault-Token", "Authorization", "Cookie", "X-Vault-Namespace", "X-Vault-Wrap-TTL",
            "X-Forwarded-For", "X-Request-Id", "Referer", "Content-Type",
        ):  # fmt: skip
            heard(agent.call("GET", path, headers={header: hide(f"{header} for {path}")}))
        heard(agent.call("GET", f"{path}?version={hide(f'{path} query')}"))
    for token in (hide("unknown token"), f"s.{hide('malformed token')}", hide("basic")):
        for route in ("lookup", "revoke", "renew"):
            heard(agent.call("POST", f"/v1/auth/token/{route}", {"token": token}))
            heard(agent.call("POST", f"/api/v1/tokens/{route}", {"token": token}))
    heard(agent.call("GET", f"/api/v1/secrets?status={hide('status')}&cursor={hide('cursor')}"))


def _plant_by_command(agent: Agent, found: Planted) -> None:
    """Through `freehold`, as it should be used; a value that was asked for is no leak."""
    environment = {
        "FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": agent.token, "HOME": str(agent.folder)
    }  # fmt: skip
    put = ("secret", "put", "secret/by-command")
    for token, code in ((agent.token, 0), (found.hide("token of a command"), 4)):
        done = freehold(
            *put,
            stdin=found.hide(f"typed {code}"),
            environment={**environment, "FREEHOLD_TOKEN": token},
        )
        assert done.returncode == code, done
        found.wrote("output of a command", (done.stdout + done.stderr).encode())
    got = freehold("secret", "get", "--raw", "secret/by-command", environment=environment)
    assert got.stdout.strip().encode() == found.hidden["typed 0"]


def _read_all(agent: Agent, found: Planted, when: str) -> None:
    """Every file of the agent, write-ahead log and output included, and its metrics."""
    files = [path for path in agent.folder.rglob("*") if path.is_file()]
    assert {"vault.db", "audit.log", "audit.log.head", "agent.out"} <= {f.name for f in files}
    for path in files:
        with suppress(FileNotFoundError):  # a new version of a file is renamed when it is whole
            found.wrote(f"{path.name} while {when}", Path(path).read_bytes())
    if agent.process is not None:
        found.wrote("metrics", agent.call("GET", "/metrics").body)
        assert "vault.db-wal" in {f.name for f in files}
