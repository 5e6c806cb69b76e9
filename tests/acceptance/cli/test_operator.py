from pathlib import Path

import pytest

from tests.acceptance.agent import running, served_agent
from tests.acceptance.cli.conftest import Command, commands, decoded

pytestmark = pytest.mark.usefixtures("workers")


def test_a_vault_is_opened_by_its_people(folder: Path) -> None:
    """Initialised once, unsealed by any two of three, sealed, and opened again."""
    with running(served_agent(folder)) as agent:
        nobody = commands(agent, folder, "")
        nobody("status", code=2)
        made = decoded(
            nobody("operator", "init", "--shares", "3", "--threshold", "2", "-o", "json")
        )
        nobody("operator", "init", code=1)
        root = commands(agent, folder, made["root_token"])
        first, second, third = made["shares"]
        root("secret", "list", code=2)

        told = nobody("operator", "unseal", "-o", "json", stdin=first)
        assert decoded(told) == {"sealed": True, "t": 2, "n": 3, "progress": 1}
        nobody("operator", "unseal", "--reset")
        nobody("operator", "unseal", stdin="bm8gc2hhcmU=", code=1)
        nobody("operator", "unseal", "--reset")
        nobody("operator", "unseal", stdin=third)
        assert decoded(nobody("operator", "unseal", "-o", "json", stdin=first))["sealed"] is False
        nobody("status")

        root("mount", "create", "secret")
        root("secret", "put", "secret/a", stdin="x")
        nobody("operator", "seal", code=4)
        root("operator", "seal")
        root("secret", "get", "secret/a", code=2)
        nobody("operator", "unseal", stdin=second)
        nobody("operator", "unseal", stdin=third)
        assert root("secret", "get", "secret/a", "--raw").stdout == "x\n"


def test_keys_rotate_while_values_stay(cli: Command) -> None:
    """A new generation seals, the old one opens."""
    cli("secret", "put", "secret/a", stdin="x")
    before = decoded(cli("operator", "key", "get", "-o", "json"))["generation"]
    assert decoded(cli("operator", "rotate", "-o", "json"))["generation"] == before + 1
    assert cli("secret", "get", "secret/a", "--raw").stdout == "x\n"
    assert "store/writer" in cli("operator", "actor", "list").stdout


def test_nobody_there_is_6(tmp_path: Path) -> None:
    """With what to look at."""
    agent = served_agent(tmp_path)
    agent.port = 1
    done = commands(agent, tmp_path, "t")("status", code=6)
    assert "FREEHOLD_ADDR" in done.stderr
