from base64 import b64decode
from pathlib import Path

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

PROGRESS = {"sealed": True, "t": 3, "n": 5, "progress": 1, "nonce": "x", "type": "shamir"}


def test_shares_of_a_vault_with_a_key_file_are_refused_before_it_is_made(
    agent: FakeAgent, cli: Run
) -> None:
    """Whoever asks for them would wait for shares that do not come."""
    agent.answer({"type": "file"})
    done = cli("operator", "init", "--shares", "5", "--threshold", "3")
    assert (done.code, "key_management: shamir" in done.err) == (64, True)
    assert [method for method, *_ in agent.asked] == ["GET"]


def test_each_half_of_a_masked_token_asks_for_the_other(agent: FakeAgent, cli: Run) -> None:
    """And what is wrong with either is said; nothing is asked of the agent."""
    for given, told in (
        (("--decode", "AAAA"), "--otp, which --init printed, is missing"),
        (("--otp", "abc"), "--decode, the encoded token, is missing"),
        (("--decode", "!", "--otp", "abc"), "--decode is not an encoded token"),
        (("--decode", "AAAA", "--otp", "abcd"), "--otp is not of the same attempt"),
    ):
        done = cli("operator", "generate-root", *given)
        assert (done.code, told in done.err) == (64, True), done.err
    assert agent.seen == []
    done = cli("operator", "generate-root", "--decode", "AAAA", "--otp", "abc", "-o", "json")
    assert done.json == {"root_token": "abc"}


def test_a_rekey_that_is_verified_tells_of_the_new_shares(agent: FakeAgent, cli: Run) -> None:
    """How many of them were shown, of how many: no old share is needed any more."""
    state = {"nonce": "n", "started": True, "n": 5, "t": 3, "progress": 0, "required": 2}
    agent.answer(state | {"verification_nonce": ""})
    assert cli("operator", "rekey", "--status", "-o", "json").json["required"] == 2
    agent.answer(state | {"verification_nonce": "v"})
    agent.answer({"nonce": "v", "started": True, "t": 3, "n": 5, "progress": 1})
    shown = cli("operator", "rekey", "--status", "-o", "json").json
    assert (shown["progress"], shown["required"], shown["next"]) == (1, 3, "rekey --verify")
    assert agent.asked[-1][:2] == ("GET", "/v1/sys/rekey/verify")


def test_people_see_a_line_for_each_share(agent: FakeAgent, cli: Run) -> None:
    """Each is cut off and handed to somebody else."""
    agent.answer({"type": "shamir", "recovery_seal": False})
    agent.answer({"keys": ["61", "62"], "keys_base64": ["YQ==", "Yg=="], "root_token": "s.r"})
    done = cli("operator", "init", "--shares", "2", "--threshold", "2")
    assert done.out.splitlines()[1:] == [
        "share_1     YQ==",
        "share_2     Yg==",
        "root_token  s.r",
    ]
    assert "Give each share to another person" in done.err


def test_a_vault_with_a_key_file_has_no_shares_to_give(agent: FakeAgent, cli: Run) -> None:
    """Nobody is told to hand out what is not there."""
    agent.answer({"type": "file", "recovery_seal": False})
    agent.answer({"keys": [], "keys_base64": [], "root_token": "s.r"})
    done = cli("operator", "init")
    assert done.out.splitlines()[1:] == ["root_token  s.r"]
    assert "another person" not in done.err
    assert "encryption.key_file" in done.err


def test_a_vault_with_an_hsm_has_recovery_shares(agent: FakeAgent, cli: Run) -> None:
    """And is asked for them in their own words; what went wrong since is told."""
    agent.answer({"type": "pkcs11", "recovery_seal": True})
    agent.answer(
        {
            "keys": [], "keys_base64": [], "recovery_keys": ["61"],
            "recovery_keys_base64": ["YQ=="], "root_token": "s.r", "warnings": ["it is sealed"],
        }
    )  # fmt: skip
    done = cli("operator", "init", "--shares", "1", "--threshold", "1")
    assert done.out.splitlines()[1:] == ["recovery_share_1  YQ==", "root_token        s.r"]
    assert "it is sealed" in done.err
    assert "pkcs11" in done.err
    body = {"recovery_shares": 1, "recovery_threshold": 1}
    assert agent.asked[-1] == ("PUT", "/v1/sys/init", body)


def test_a_share_comes_by_stdin(agent: FakeAgent, cli: Run) -> None:
    """And is not printed; progress is."""
    agent.answer(PROGRESS)
    done = cli("operator", "unseal", "-o", "json", stdin="YQ==\n")
    assert done.json == {"sealed": True, "t": 3, "n": 5, "progress": 1}
    assert agent.asked == [("PUT", "/v1/sys/unseal", {"key": "YQ=="})]


def test_shares_given_so_far_can_be_forgotten(agent: FakeAgent, cli: Run) -> None:
    """Without reading one."""
    agent.answer(PROGRESS)
    assert cli("operator", "unseal", "--reset").code == 0
    assert agent.asked == [("PUT", "/v1/sys/unseal", {"reset": True})]


def test_an_acceptance_needs_no_agent(cli: Run, tmp_path: Path) -> None:
    """It is left beside the anchor, with its reason."""
    anchor = tmp_path / "vault.anchor"
    words = ("operator", "accept-rollback", "--anchor", str(anchor), "--reason")
    done = cli(*words, "a fire")
    assert done.code == 0
    left = tmp_path / "vault.anchor.accept"
    assert '"reason":"a fire"' in left.read_text()
    assert str(left) in done.err
    assert cli(*words, "").code == 64
    assert cli(*words, "x" * 201).code == 64
    assert cli("operator", "accept-rollback", "--reason", "x").code == 64
    (tmp_path / "file").touch()
    refused = cli("operator", "accept-rollback", "--anchor", f"{tmp_path}/file/a", "--reason", "x")
    assert (refused.code, refused.err.count("\n")) == (1, 1)


def _with_key_file(folder: Path, **files: bytes) -> str:
    """The configuration of a vault with these files for its root key."""
    for name, key in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(key)
        path.chmod(0o600)
    config = folder / "vault.yaml"
    encryption = f"{{key_management: file, key_file: {folder}/root.key}}"
    config.write_text(
        f"storage: {{connection_string: 'sqlite:///{folder}/vault.db'}}\n"
        f"server: {{listen: '127.0.0.1:0', tls: {{enabled: false}}}}\n"
        f"audit: {{log_file: '{folder}/audit.log'}}\n"
        f"encryption: {encryption}\n"
    )
    return str(config)


REFUSED = {"errors": ["the shares do not fit together"]}


def test_whichever_file_holds_the_key_is_offered(
    agent: FakeAgent, cli: Run, tmp_path: Path
) -> None:
    """A rekey that was cut short leaves two: they are tried as a start tries them."""
    config = _with_key_file(tmp_path, root_key=b"o" * 32, root_key_next=b"n" * 32)
    agent.answer(REFUSED, status=400)
    agent.answer(PROGRESS)
    assert cli("operator", "unseal", "--config", config).code == 0
    offered = [b64decode(body["key"]) for _, _, body in agent.asked]
    assert offered == [b"n" * 32, b"o" * 32]


def test_a_rekey_that_is_not_done_with_is_no_success(
    agent: FakeAgent, cli: Run, tmp_path: Path
) -> None:
    """What is left to do is told, and nobody is told that the file holds another key."""
    config = _with_key_file(tmp_path, root_key=b"o" * 32)
    agent.answer({"nonce": "n"})
    agent.answer({"complete": True, "warnings": ["the key in force is in root.key.next"]})
    done = cli("operator", "rekey", "--config", config)
    assert done.code == 1
    assert "the key in force is in root.key.next" in done.err
    assert "holds another key now" not in done.err


@pytest.mark.parametrize("command", ["rekey", "generate-root"])
def test_what_was_begun_and_fails_is_given_up(
    agent: FakeAgent, cli: Run, tmp_path: Path, command: str
) -> None:
    """So that the command can be given again once it is put right."""
    config = _with_key_file(tmp_path, root_key=b"o" * 32)
    agent.answer({"nonce": "n", "otp": "x"})
    agent.answer(REFUSED, status=400)
    agent.answer(None)
    assert cli("operator", command, "--config", config).code == 1
    assert [method for method, _, _ in agent.asked] == ["PUT", "PUT", "DELETE"]
