"""Break-glass: holders of an offline key open real agents whose HSM, file or shares are gone."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.acceptance.agent import Agent, Answer, running, served_agent
from tests.acceptance.command import freehold
from tests.acceptance.serve.test_hsm import KEYS, hsm_agent, initialize, reads, status
from tests.acceptance.serve.test_root_key import put
from tests.acceptance.workers.waiting import await_true
from tests.support.databases import Server
from tests.support.softhsm import Token
from vault.seal.break_glass import encode_share

SET = "/api/v1/system/break-glass"
OPEN = "/api/v1/system/break-glass/open"
REASON = "the HSM burnt"


def make_set(agent: Agent, *, shares: int = 4, threshold: int = 3, **more: object) -> list[str]:
    """The shares of a new set."""
    made = agent.call("POST", SET, {"shares": shares, "threshold": threshold, **more})
    assert made.status == 201, made.body
    texts: list[str] = made.json["shares"]
    assert len(texts) == shares
    return texts


def allow(agent: Agent, reason: str = REASON) -> str:
    """The code, as the person on the agent's machine reads it."""
    done = command(agent, "allow", "--reason", reason, "--config", str(agent.folder / "vault.yaml"))
    assert done.returncode == 0, done.stderr
    code: str = json.loads(done.stdout)["code"]
    return code


def command(agent: Agent, *words: str, stdin: str = "") -> CompletedProcess[str]:
    """`freehold operator break-glass …`."""
    environment = {"FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": agent.token}
    return freehold(
        "operator", "break-glass", *words, "--output", "json", stdin=stdin, environment=environment
    )


def offer(agent: Agent, share: str, code: str) -> Answer:
    """As a holder does: without a token."""
    return agent.call("POST", OPEN, {"share": share, "code": code}, token="")


def open_with(agent: Agent, shares: list[str], code: str) -> Any:
    """What the last one is answered."""
    for share in shares:
        answer = offer(agent, share, code)
        assert answer.status == 200, answer.body
    return answer.json


def trace(agent: Agent) -> list[tuple[str, str]]:
    """Phase and text of each record of an opening, in their order; the index is a moment behind."""
    mark = agent.call("GET", SET).request_id
    await_true(lambda: agent.call("GET", f"/api/v1/audit/events?request_id={mark}").json["events"])
    query = "/api/v1/audit/events?limit=500&operation=sys.break_glass.open"
    found = agent.call("GET", query).json["events"]
    return [(each["phase"], each["rule"]) for each in reversed(found)]


@pytest.fixture
def token(folder: Path) -> Token:
    """A token with one key."""
    made = Token(folder / "softhsm")
    made.change_keys(KEYS[0])
    return made


@pytest.fixture
def agent(request: pytest.FixtureRequest, folder: Path, token: Token) -> Iterator[Agent]:
    """Open by its token, with a secret in it."""
    made = hsm_agent(folder / "a", token, request.param)
    with running(made):
        initialize(made)
        yield made
        assert made.stop() == 0
        assert made.verify().returncode == 0
        assert "Traceback" not in made.output()
        assert REASON not in made.output()


def lose(agent: Agent, token: Token) -> None:
    """The HSM is gone for good; the agent has been restarted."""
    shutil.rmtree(token.store)
    agent.stop()
    agent.start()
    assert status(agent)["sealed"]


@pytest.mark.parametrize("agent", [1, 2], ids=["alone", "workers"], indirect=True)
def test_holders_open_the_vault_when_the_hsm_is_gone(agent: Agent, token: Token) -> None:
    """Any k of n with the code of the machine; fewer do not, and the use is told for ever."""
    shares = make_set(agent)
    told = agent.call("GET", SET).json
    assert (told["shares"], told["threshold"], told["spent"], told["uses"]) == (4, 3, False, 0)
    assert told["made_by"] == "root"
    assert "break_glass_uses" not in status(agent)
    lose(agent, token)
    refused = offer(agent, shares[0], "0" * 32)
    assert (refused.status, refused.json["code"]) == (403, "break_glass_not_allowed")
    code = allow(agent)
    refused = offer(agent, shares[0], "0" * 32)
    assert (refused.status, refused.json["code"]) == (403, "break_glass_code_wrong")
    open_with(agent, shares[:2], code)
    progress = agent.call("GET", OPEN, token="").json
    assert (progress["sealed"], progress["progress"], progress["threshold"]) == (True, 2, 3)
    again = offer(agent, shares[1], code)
    assert (again.status, again.json["code"]) == (400, "share_repeated")
    done = command(agent, "open", "--code", code, stdin=f"{shares[3].upper()}\n")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"sealed": False, "threshold": 3, "progress": 0, "uses": 1}
    assert reads(agent)
    rule = f"set {told['set']}, 3 of 4, use 1; reason: {REASON}"
    assert trace(agent) == [("intent", rule), ("outcome", rule)]
    told = agent.call("GET", SET).json
    assert (told["spent"], told["set_uses"], told["uses"]) == (True, 1, 1)
    assert status(agent)["break_glass_uses"] == 1
    assert status(agent)["break_glass_used_at"] == told["used_at"]
    await_true(lambda: b"vault_break_glass_uses 1.0" in agent.call("GET", "/metrics").body)
    # Replayed: the permit was for one opening.
    agent.stop()
    agent.start()
    assert status(agent)["break_glass_uses"] == 1
    refused = offer(agent, shares[3], code)
    assert (refused.status, refused.json["code"]) == (403, "break_glass_not_allowed")
    # Spent, it opens the vault until there is another one.
    open_with(agent, shares[1:], allow(agent))
    new = make_set(agent, shares=2, threshold=2, replace=True)
    agent.stop()
    agent.start()
    code = allow(agent)
    foreign = offer(agent, shares[0], code)
    assert (foreign.status, foreign.json["code"]) == (400, "share_invalid")
    assert "is in force" in foreign.json["message"]
    open_with(agent, new, code)
    assert reads(agent)
    told = agent.call("GET", SET).json
    assert (told["set_uses"], told["uses"]) == (1, 3)
    assert agent.call("DELETE", SET).json["set"] == told["set"]
    assert agent.call("DELETE", SET).json["code"] == "break_glass_missing"
    assert agent.call("GET", SET).json["uses"] == 3


@pytest.mark.parametrize("agent", [1], indirect=True)
def test_shares_that_do_not_fit(agent: Agent, token: Token) -> None:
    """A mistyped, another kind's and a forged one are told apart; a permit is spent by ten sets."""
    recovery = put(agent, "/v1/sys/rekey-recovery-key/init",
                   {"secret_shares": 1, "secret_threshold": 1})  # fmt: skip
    assert recovery["nonce"]
    shares = make_set(agent, shares=3, threshold=2)
    exists = agent.call("POST", SET, {"shares": 3, "threshold": 2})
    assert (exists.status, exists.json["code"]) == (409, "break_glass_exists")
    for numbers in ((3, 4), (2, 256), (1, 1)):
        bad = agent.call("POST", SET, {"shares": numbers[0], "threshold": numbers[1]})
        assert bad.status == 400, bad.body
    lose(agent, token)
    code = allow(agent)
    typo = shares[0][:20] + ("0" if shares[0][20] != "0" else "1") + shares[0][21:]
    for text, word in ((typo, "checksum"), ("ab" * 33, "no break-glass share")):
        answer = offer(agent, text, code)
        assert (answer.status, answer.json["code"]) == (400, "share_invalid")
        assert word in answer.json["message"]
    forged = forge(shares[1])
    for _ in range(10):
        assert offer(agent, shares[0], code).status == 200
        answer = offer(agent, forged, code)
        assert (answer.status, answer.json["code"]) == (400, "shares_wrong")
    answer = offer(agent, shares[0], code)
    assert (answer.status, answer.json["code"]) == (403, "break_glass_not_allowed")
    open_with(agent, shares[:2], allow(agent))
    assert reads(agent)


def forge(share: str) -> str:
    """Another share's bytes under a right checksum, as somebody with this code would make them."""
    _, set_, body, _ = share.split("-")
    return encode_share(set_, bytes([bytes.fromhex(body)[0] ^ 1]) + bytes.fromhex(body)[1:])


def test_a_lost_key_file_is_written_again(folder: Path) -> None:
    """The agent does not start without it, but where break-glass is allowed."""
    key = folder / "key" / "root.key"
    key.parent.mkdir()
    encryption = {"key_management": "file", "key_file": str(key)}
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1}
    agent = served_agent(folder, {"server": server, "encryption": encryption})
    with running(agent):
        made = put(agent, "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
        agent.token = made["root_token"]
        shares = make_set(agent, shares=2, threshold=2)
        agent.stop()
        root_key = key.read_bytes()
        key.unlink()
        assert "key file" in agent.refused_start()
        code = allow(agent)
        agent.start()
        assert open_with(agent, shares, code)["warning"] == ""
        assert key.read_bytes() == root_key
        agent.stop()
        agent.start()
        assert not status(agent)["sealed"]
        # A rekey wraps the new root key for the same holders.
        done = freehold("operator", "rekey", "--config", str(agent.folder / "vault.yaml"),
                        environment={"FREEHOLD_ADDR": agent.address,
                                     "FREEHOLD_TOKEN": agent.token})  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert key.read_bytes() != root_key
        agent.stop()
        key.write_bytes(bytes(32))
        code = allow(agent)
        agent.start()
        assert "does not hold the key" in open_with(agent, shares, code)["warning"]
        assert status(agent)["break_glass_uses"] == 2
        agent.stop()


def test_lost_shares(folder: Path) -> None:
    """Shamir: the holders of the other key open the vault, an ordered seal or not."""
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1}
    agent = served_agent(folder, {"server": server, "encryption": {"key_management": "shamir"}})
    with running(agent):
        made = put(agent, "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
        agent.token = made["root_token"]
        put(agent, "/v1/sys/unseal", {"key": made["keys_base64"][0]})
        told = command(agent, "init", "--shares", "2", "--threshold", "2", "--folder", str(folder))
        assert told.returncode == 0, told.stderr
        files = [Path(file) for file in json.loads(told.stdout)["files"]]
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
        shares = [file.read_text() for file in files]
        assert command(agent, "init", "--folder", str(folder)).returncode != 0
        assert agent.call("PUT", "/v1/sys/seal").status == 204
        open_with(agent, shares, allow(agent))
        assert not status(agent)["sealed"]
        agent.stop()
        agent.start()
        assert status(agent)["sealed"]
        agent.stop()


def test_a_vault_whose_shares_are_lost_moves_into_a_new_one(tmp_path: Path) -> None:
    """Nobody can rekey it; opened by break-glass it is read by an importer, version by version."""
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": 1}
    config = {"server": server, "encryption": {"key_management": "shamir"}}
    folders = [tmp_path / "old", tmp_path / "new"]
    for folder in folders:
        folder.mkdir()
    old, new = (served_agent(folder, config) for folder in folders)
    with running(old), running(new):
        for agent in (old, new):
            made = put(agent, "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
            agent.token = made["root_token"]
            put(agent, "/v1/sys/unseal", {"key": made["keys_base64"][0]})
        mount = {"type": "kv", "options": {"version": "2"}}
        assert old.call("POST", "/v1/sys/mounts/team", mount).status == 204
        for value in (1, 2):
            assert old.call("POST", "/v1/team/data/app", {"data": {"a": value}}).status == 200
        policy = {"policy": 'path "team/*" { capabilities = ["read"] }'}
        assert old.call("PUT", "/v1/sys/policies/acl/team", policy).status == 204
        shares = make_set(old)
        assert old.call("PUT", "/v1/sys/seal").status == 204
        open_with(old, shares[:3], allow(old))
        done = freehold(
            "import", "vault", "--addr", old.address, "--token-file", "-", "--output", "json",
            stdin=old.token,
            environment={"FREEHOLD_ADDR": new.address, "FREEHOLD_TOKEN": new.token},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        for version in (1, 2):
            found = new.call("GET", f"/v1/team/data/app?version={version}").json
            assert found["data"]["data"] == {"a": version}
        assert new.call("GET", "/v1/sys/policies/acl/team").status == 200


def test_agents_that_share_a_database(
    postgresql_server: Server, folder: Path, token: Token
) -> None:
    """A set that one makes opens each; each opening is counted, at both."""
    url = postgresql_server.empty()
    storage = {"type": "postgresql", "connection_string": url}
    one, two = (hsm_agent(folder / name, token, storage=storage) for name in "ab")
    with running(one), running(two):
        initialize(one)
        two.token = one.token
        await_true(lambda: not status(two)["sealed"])
        shares = make_set(one, shares=2, threshold=2)
        shutil.rmtree(token.store)
        for agent, uses in ((two, 1), (one, 2)):
            agent.stop()
            agent.start()
            open_with(agent, shares, allow(agent))
            assert reads(agent)
            assert agent.call("GET", SET).json["uses"] == uses
        await_true(lambda: status(two).get("break_glass_uses") == 2)
        assert [len(trace(agent)) for agent in (one, two)] == [2, 2]


@pytest.mark.parametrize("agent", [1], indirect=True)
def test_a_database_from_before_the_use_hides_nothing(
    agent: Agent, token: Token, folder: Path
) -> None:
    """It is refused; accepted all the same, the count of the anchor is in it again."""
    shares = make_set(agent, shares=2, threshold=2)
    lose(agent, token)
    agent.stop()
    copies = copy_database(agent, folder / "before")
    agent.start()
    open_with(agent, shares, allow(agent))
    assert status(agent)["break_glass_uses"] == 1
    agent.stop()
    put_back(agent, copies)
    agent.start()
    code = allow(agent)
    assert offer(agent, shares[0], code).status == 200
    refused = offer(agent, shares[1], code)
    assert refused.json["code"] == "storage_rolled_back", refused.body
    config = str(agent.folder / "vault.yaml")
    assert (
        freehold("operator", "accept-rollback", "--reason", "r", "--config", config).returncode == 0
    )
    open_with(agent, shares, code)
    assert status(agent)["break_glass_uses"] == 2
    assert agent.call("GET", SET).json["uses"] == 2


def copy_database(agent: Agent, folder: Path) -> Path:
    """Its files as they are, of an agent that does not run."""
    folder.mkdir()
    for file in agent.data.glob("vault.db*"):
        shutil.copy2(file, folder)
    return folder


def put_back(agent: Agent, folder: Path) -> None:
    """In the place of what is there."""
    for file in agent.data.glob("vault.db*"):
        file.unlink()
    for file in folder.iterdir():
        shutil.copy2(file, agent.data)
