from pathlib import Path

from tests.unit.ui.cli.conftest import FakeAgent, Run

PROGRESS = {"sealed": True, "t": 3, "n": 5, "progress": 1, "nonce": "x", "type": "shamir"}


def test_init_shows_shares_and_root_token_once(agent: FakeAgent, cli: Run) -> None:
    """With what to do with them, beside."""
    agent.answer({"keys": ["61"], "keys_base64": ["YQ=="], "root_token": "s.r"})
    done = cli("operator", "init", "--shares", "1", "--threshold", "1", "-o", "json")
    assert done.json == {"root_token": "s.r", "shares": ["YQ=="]}
    assert "nothing keeps a copy" in done.err
    assert agent.asked == [("PUT", "/v1/sys/init", {"secret_shares": 1, "secret_threshold": 1})]


def test_people_see_a_line_for_each_share(agent: FakeAgent, cli: Run) -> None:
    """Each is cut off and handed to somebody else."""
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
    agent.answer({"keys": [], "keys_base64": [], "root_token": "s.r"})
    done = cli("operator", "init")
    assert done.out.splitlines()[1:] == ["root_token  s.r"]
    assert "another person" not in done.err
    assert "key file" in done.err


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


def test_the_rest_is_one_request_each(agent: FakeAgent, cli: Run) -> None:
    """Seal says nothing, the others show the answer."""
    answers = (None, {"generation": 2}, {"uses": 1}, {"actors": [{"name": "store"}]}, {"hits": 3})
    for answer in answers:
        agent.answer(answer)
    assert cli("operator", "seal").out == ""
    assert cli("operator", "rotate", "-o", "json").json == {"generation": 2}
    assert cli("operator", "key-status", "-o", "json").json == {"uses": 1}
    assert cli("operator", "actors").out == "name\nstore\n"
    assert cli("operator", "cache", "-o", "json").json == {"hits": 3}
    assert [(method, path) for method, path, _ in agent.asked] == [
        ("POST", "/api/v1/system/seal"),
        ("POST", "/api/v1/system/rotate"),
        ("GET", "/api/v1/system/key-status"),
        ("GET", "/api/v1/system/actors"),
        ("GET", "/api/v1/system/cache"),
    ]


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
