"""The root key in people's hands: a root token for whoever has none, and other shares."""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.agent import Agent, Answer, running, served_agent
from tests.acceptance.command import freehold

ROOT = "/v1/sys/generate-root"
REKEY = "/v1/sys/rekey"
NAMES = (("/v1/sys/generate-root", REKEY), ("/v1/sys/generate-root-token", "/v1/sys/rotate/root"))


class Vault:
    """An open vault with two of three shares, and one secret."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        made = put(agent, "/v1/sys/init", {"secret_shares": 3, "secret_threshold": 2})
        agent.token = made["root_token"]
        self.shares: list[str] = made["keys_base64"]
        self.offer(self.shares)
        mount = {"type": "kv", "options": {"version": "2"}}
        assert agent.call("POST", "/v1/sys/mounts/secret", mount).status == 204
        assert agent.call("POST", "/v1/secret/data/a", {"data": {"a": 1}}).status == 200

    def offer(self, shares: list[str]) -> None:
        """The first two of these."""
        for share in shares[:2]:
            put(self.agent, "/v1/sys/unseal", {"key": share})

    def unseal(self, shares: list[str]) -> None:
        """With the first two of these; the secret is there."""
        self.offer(shares)
        assert self.reads(self.agent.token)

    def reads(self, token: str) -> bool:
        """Whether the secret is there for this token, at whichever process answers."""
        answers = [self.agent.call("GET", "/v1/secret/data/a", token=token) for _ in range(6)]
        return all(answer.status == 200 for answer in answers)


def put(agent: Agent, path: str, body: object, token: str | None = None) -> Any:
    """What a request that is taken is answered."""
    answer = agent.call("PUT", path, body, token=token)
    assert answer.status == 200, answer.body
    return answer.json


def refused(answer: Answer, *words: str) -> None:
    """Told as a fault of the caller's, in these words."""
    assert answer.status == 400, answer.body
    assert all(word in answer.json["errors"][0] for word in words), answer.body


def unmasked(token: str, otp: str) -> str:
    """As clients do."""
    mixed = b64decode(token + "=" * (-len(token) % 4))
    return bytes(a ^ b for a, b in zip(mixed, otp.encode(), strict=True)).decode()


def tampered(share: str) -> str:
    """The same coordinate, another value."""
    raw = bytearray(b64decode(share))
    raw[0] ^= 1
    return b64encode(raw).decode()


@pytest.fixture(params=[1, 2], ids=["alone", "workers"])
def vault(request: pytest.FixtureRequest, folder: Path) -> Iterator[Vault]:
    """Open; its agent's clients have the root token."""
    server = {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": request.param}
    with running(served_agent(folder, {"server": server})) as agent:
        yield Vault(agent)
        assert agent.stop() == 0
        assert agent.verify().returncode == 0
        assert "Traceback" not in agent.output()


@pytest.mark.parametrize("root", [names[0] for names in NAMES])
def test_a_lost_root_token_is_made_anew_with_the_shares(vault: Vault, root: str) -> None:
    """No token is asked for; what masks it is told once, the token to who offers the last share."""
    agent, shares = vault.agent, vault.shares
    agent.token = ""
    state = agent.call("GET", f"{root}/attempt").json
    assert (state["started"], state["required"], state["otp"]) == (False, 2, "")
    refused(agent.call("PUT", f"{root}/update", {"key": shares[0], "nonce": "x"}), "no root")
    refused(agent.call("PUT", f"{root}/attempt", {"otp": "short"}), "length")
    refused(agent.call("PUT", f"{root}/attempt", {"pgp_key": "x"}), "pgp_key")
    begun = put(agent, f"{root}/attempt", {})
    assert len(begun["otp"]) == begun["otp_length"]
    assert begun["data"]["nonce"] == begun["nonce"]
    refused(agent.call("PUT", f"{root}/attempt", {}), "in progress")
    assert agent.call("GET", f"{root}/attempt").json["otp"] == ""
    body = {"nonce": begun["nonce"]}
    refused(agent.call("PUT", f"{root}/update", {"key": shares[0], "nonce": "x"}), "nonce")
    refused(agent.call("PUT", f"{root}/update", body | {"key": ""}), "'key'")
    refused(agent.call("PUT", f"{root}/update", body | {"key": "AAAA"}), "bytes")
    assert put(agent, f"{root}/update", body | {"key": shares[0]})["progress"] == 1
    refused(agent.call("PUT", f"{root}/update", body | {"key": shares[0]}), "already")
    refused(agent.call("PUT", f"{root}/update", body | {"key": tampered(shares[1])}), "again")
    assert agent.call("GET", f"{root}/attempt").json["progress"] == 0
    put(agent, f"{root}/update", body | {"key": shares[2]})
    done = put(agent, f"{root}/update", body | {"key": shares[1]})
    assert (done["complete"], done["encoded_token"]) == (True, done["encoded_root_token"])
    token = unmasked(done["encoded_token"], begun["otp"])
    assert vault.reads(token)
    assert agent.call("GET", "/v1/auth/token/lookup-self", token=token).json["data"][
        "policies"
    ] == ["root"]
    assert not agent.call("GET", f"{root}/attempt").json["started"]
    agent.token = token
    log = agent.audit_log.read_text()
    for secret in (token, begun["otp"], done["encoded_token"], *shares):
        assert secret not in log
    assert log.count('"operation":"sys.generate_root.offer"') > 6
    assert "service:operator" in log


def test_an_attempt_can_be_given_up(vault: Vault) -> None:
    """And is, by a seal: the shares of before count for nothing."""
    agent = vault.agent
    for end in (lambda: agent.call("DELETE", f"{ROOT}/attempt"), lambda: reopened(vault)):
        begun = put(agent, f"{ROOT}/attempt", {})
        put(agent, f"{ROOT}/update", {"key": vault.shares[0], "nonce": begun["nonce"]})
        end()
        assert not agent.call("GET", f"{ROOT}/attempt").json["started"]
        told = agent.call(
            "PUT", f"{ROOT}/update", {"key": vault.shares[1], "nonce": begun["nonce"]}
        )
        refused(told, "no root generation")


def reopened(vault: Vault) -> None:
    """Sealed and unsealed."""
    assert vault.agent.call("PUT", "/v1/sys/seal").status == 204
    assert vault.agent.call("GET", f"{ROOT}/attempt").status == 503
    vault.unseal(vault.shares)


def rekeyed(vault: Vault, path: str, *, verifies: bool) -> tuple[list[str], str]:
    """Three more shares, two of which unseal; and the nonce for their proof."""
    agent = vault.agent
    body = {"secret_shares": 4, "secret_threshold": 3, "require_verification": verifies}
    begun = put(agent, f"{path}/init", body)
    assert (begun["n"], begun["t"], begun["required"]) == (4, 3, 2)
    for number, share in enumerate(vault.shares[:2]):
        done = put(agent, f"{path}/update", {"key": share, "nonce": begun["nonce"]})
        assert bool(done.get("complete")) is bool(number)
    assert [b64decode(s) for s in done["keys_base64"]] == [bytes.fromhex(s) for s in done["keys"]]
    return done["keys_base64"], done["verification_nonce"]


def opens(agent: Agent, shares: list[str]) -> bool:
    """Whether these shares open the sealed vault."""
    agent.call("PUT", "/v1/sys/unseal", {"reset": True})
    answers = [agent.call("PUT", "/v1/sys/unseal", {"key": share}) for share in shares]
    return answers[-1].status == 200 and not answers[-1].json["sealed"]


@pytest.mark.parametrize("path", [names[1] for names in NAMES])
def test_new_shares_take_the_place_of_the_old_ones(vault: Vault, path: str) -> None:
    """At once, without a seal: every process goes on, and only the new ones unseal from then on."""
    agent, old = vault.agent, vault.shares
    refused(agent.call("PUT", f"{path}/init", {"secret_shares": 2, "secret_threshold": 3}), "2 <=")
    refused(agent.call("PUT", f"{path}/init", {"pgp_keys": ["x"]}), "pgp_keys")
    new, _ = rekeyed(vault, path, verifies=False)
    status = agent.call("GET", "/v1/sys/seal-status").json
    assert (status["n"], status["t"]) == (4, 3)
    assert vault.reads(agent.token)
    assert agent.call("POST", "/v1/secret/data/b", {"data": {"b": 2}}).status == 200
    assert agent.call("POST", "/v1/sys/rotate").status == 204
    assert agent.call("POST", "/v1/secret/data/c", {"data": {"c": 3}}).status == 200
    assert agent.call("PUT", "/v1/sys/seal").status == 204
    assert not opens(agent, [*old])
    assert opens(agent, new[1:])
    agent.kill()
    agent.start()
    assert not opens(agent, [*old])
    assert opens(agent, [new[3], new[0], new[2]])
    assert vault.reads(agent.token)
    assert agent.call("GET", "/v1/secret/data/c").json["data"]["data"] == {"c": 3}


@pytest.mark.parametrize("path", [names[1] for names in NAMES])
def test_new_shares_that_are_to_be_verified_count_when_they_are(vault: Vault, path: str) -> None:
    """Until then the old ones do, whatever ends the attempt."""
    agent, old = vault.agent, vault.shares
    rekeyed(vault, path, verifies=True)
    reopened(vault)
    refused(agent.call("GET", f"{path}/verify"), "no rekey")
    new, nonce = rekeyed(vault, path, verifies=True)
    proof = {"nonce": nonce}
    refused(agent.call("PUT", f"{path}/update", {"key": old[2], "nonce": nonce}), "made")
    assert put(agent, f"{path}/verify", proof | {"key": new[0]})["progress"] == 1
    put(agent, f"{path}/verify", proof | {"key": new[1]})
    refused(agent.call("PUT", f"{path}/verify", proof | {"key": tampered(new[2])}), "again")
    again = agent.call("GET", f"{path}/verify").json
    assert (again["progress"], again["nonce"] == nonce) == (0, False)
    assert agent.call("DELETE", f"{path}/verify").json["nonce"] != again["nonce"]
    proof = {"nonce": agent.call("GET", f"{path}/verify").json["nonce"]}
    for share in new[1:]:
        done = put(agent, f"{path}/verify", proof | {"key": share})
    assert done["complete"] is True
    assert agent.call("GET", f"{path}/init").json["started"] is False
    assert agent.call("PUT", "/v1/sys/seal").status == 204
    assert not opens(agent, old)
    assert opens(agent, new[:3])


def test_rekeying_takes_a_credential_beside_the_shares(vault: Vault) -> None:
    """Otherwise anybody could begin it, or end what others have begun."""
    agent = vault.agent
    body = {"secret_shares": 1, "secret_threshold": 1}
    for token in ("", "wrong"):
        assert agent.call("GET", f"{REKEY}/init", token=token).status == 403
        assert agent.call("PUT", f"{REKEY}/init", body, token=token).status == 403
        assert agent.call("DELETE", f"{REKEY}/init", token=token).status == 403
        offer = {"key": vault.shares[0], "nonce": "x"}
        assert agent.call("PUT", f"{REKEY}/update", offer, token=token).status == 403


def test_the_command_line_does_both(vault: Vault) -> None:
    """As the people of a vault do."""
    agent, old = vault.agent, vault.shares

    def run(*words: str, stdin: str = "", token: str = "") -> Any:
        variables = {"FREEHOLD_TOKEN": token} if token else {}
        done = freehold(
            "--address", agent.address, "operator", *words, "-o", "json",
            stdin=stdin, environment=variables,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    otp = run("generate-root", "--init")["otp"]
    assert run("generate-root", stdin=old[0])["progress"] == 1
    masked = run("generate-root", stdin=old[1])["encoded_token"]
    token = run("generate-root", "--decode", masked, "--otp", otp)["root_token"]
    assert vault.reads(token)
    run("rekey", "--init", "--shares", "3", "--threshold", "2", token=token)
    run("rekey", stdin=old[0], token=token)
    new = run("rekey", stdin=old[2], token=token)["shares"]
    assert run("rekey", "--verify", stdin=new[0], token=token)["progress"] == 1
    assert run("rekey", "--verify", stdin=new[1], token=token) == {"complete": True}
    assert agent.call("PUT", "/v1/sys/seal").status == 204
    assert not opens(agent, old[:2])
    assert opens(agent, new[:2])


@pytest.mark.parametrize("workers", [1, 2])
def test_with_a_key_file_its_holder_does_both(folder: Path, workers: int) -> None:
    """On the agent's machine; the file holds another key then, and only that opens the vault."""
    config = {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers},
        "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
    }
    file = folder / "vault.yaml"
    with running(served_agent(folder, config)) as agent:
        put(agent, "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        words = ("--address", agent.address, "operator")
        done = freehold(*words, "generate-root", "--config", str(file), "-o", "json")
        assert done.returncode == 0, done.stderr
        agent.token = json.loads(done.stdout)["root_token"]
        assert agent.call("GET", "/v1/sys/mounts").status == 200
        before = (folder / "root.key").read_bytes()
        environment = {"FREEHOLD_TOKEN": agent.token}
        done = freehold(*words, "rekey", "--config", str(file), environment=environment)
        assert done.returncode == 0, done.stderr
        after = (folder / "root.key").read_bytes()
        assert before != after
        assert not (folder / "root.key.next").exists()
        agent.kill()
        agent.start()
        assert agent.call("GET", "/v1/sys/mounts").status == 200
        agent.stop()
        (folder / "root.key.next").write_bytes(after)  # as a rekey that was cut short leaves them
        (folder / "root.key.next").chmod(0o600)
        (folder / "root.key").write_bytes(before)
        agent.start()
        assert agent.call("GET", "/v1/sys/mounts").status == 200
        assert (folder / "root.key").read_bytes() == after
        agent.stop()
        (folder / "root.key").write_bytes(before)
        assert "does not open" in agent.refused_start()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_key_file_that_cannot_be_replaced_is_told_and_loses_nothing(
    folder: Path, workers: int
) -> None:
    """Such as one that is mounted by itself: here a folder has taken its place meanwhile."""
    config = {
        "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}, "workers": workers},
        "encryption": {"key_management": "file", "key_file": f"{folder}/root.key"},
    }
    file, key, new_key = folder / "vault.yaml", folder / "root.key", folder / "root.key.next"
    with running(served_agent(folder, config)) as agent:
        begun = put(agent, "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})
        agent.token = begun["root_token"]
        environment = {"FREEHOLD_TOKEN": agent.token}

        def operator(*words: str) -> Any:
            words = ("--address", agent.address, "operator", *words, "--config", str(file))
            return freehold(*words, environment=environment)

        share = b64encode(key.read_bytes()).decode()
        key.rename(folder / "moved")
        key.mkdir()
        body = {"secret_shares": 1, "secret_threshold": 1}
        nonce = put(agent, f"{REKEY}/init", body)["nonce"]
        done = put(agent, f"{REKEY}/update", {"key": share, "nonce": nonce})
        assert f"the key in force is in {new_key}" in done["warnings"][0]
        kept = new_key.read_bytes()
        for _ in range(2):  # the first one gives up what it has begun
            again = operator("rekey")
            assert again.returncode == 1
            assert f"the key in force is in {new_key}" in again.stderr
            assert new_key.read_bytes() == kept
        key.rmdir()
        (folder / "moved").rename(key)  # stale, and read by the command beside the other
        done = operator("generate-root")
        assert done.returncode == 0, done.stderr
        done = operator("rekey")
        assert done.returncode == 0, done.stderr
        assert not new_key.exists()
        agent.kill()
        agent.start()
        assert agent.call("GET", "/v1/sys/mounts").status == 200
        assert agent.call("PUT", "/v1/sys/seal").status == 204
        new_key.write_bytes(bytes(32))  # not in force, as a rekey leaves it that came to nothing
        new_key.chmod(0o600)
        done = operator("unseal")
        assert done.returncode == 0, done.stderr
        assert agent.call("GET", "/v1/sys/mounts").status == 200
        done = operator("rekey")
        assert done.returncode == 0, done.stderr
        assert not new_key.exists()
