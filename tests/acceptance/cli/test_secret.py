import json
import os
import subprocess
from pathlib import Path

from tests.acceptance.agent import Agent
from tests.acceptance.cli.conftest import Command, decoded
from tests.acceptance.command import FREEHOLD


def test_the_whole_life_of_a_secret(shared: Command, tmp_path: Path) -> None:
    """Stored, read, changed, rolled back, deleted, brought back, destroyed and purged."""
    name = "secret/life/db"
    words = ("secret", "put", name, "--tag", "prod", "-m", "team=a b", "-o", "json")
    made = decoded(shared(*words, stdin="one\n"))
    assert made["created_at"] == made["updated_at"]
    file = tmp_path / "two.json"
    file.write_text('{"user": "app", "n": 2}')
    shared("secret", "put", name, "--json", "--file", str(file), "--cas", "1")
    shared("secret", "put", name, "--cas", "1", stdin="late", code=5)
    shared("secret", "put", name, "--cas", "0", stdin="late", code=5)
    assert shared("secret", "get", name, "--field", "user").stdout == "app\n"
    assert shared("secret", "get", name, "--version", "1", "--raw").stdout == "one\n"
    shared("secret", "patch", name, stdin='{"n": null, "host": "db"}')
    assert decoded(shared("secret", "get", name, "--raw")) == {"user": "app", "host": "db"}
    assert decoded(shared("secret", "rollback", name, "1", "-o", "json"))["version"] == 4
    assert shared("secret", "get", name, "--raw").stdout == "one\n"

    shared("secret", "delete", name)
    shared("secret", "get", name, code=3)
    shared("secret", "undelete", name, "--version", "4")
    shared("secret", "destroy", name, "--version", "1", "--yes")
    shared("secret", "undelete", name, "--version", "1")
    shared("secret", "get", name, "--version", "1", code=3)
    rows = decoded(shared("secret", "version", "list", name, "-o", "json"))
    assert [(row["version"], row["destroyed"]) for row in rows] == [
        (1, True), (2, False), (3, False), (4, False)
    ]  # fmt: skip

    shared(
        "secret", "metadata", "update", name,
        "--drop", "team", "-m", "env=prod", "--max-versions", "2",
    )  # fmt: skip
    told = decoded(shared("secret", "metadata", "get", name, "-o", "json"))
    assert told["secret"]["metadata"] == {"env": "prod"}
    assert told["max_versions"] == 2
    shared("secret", "destroy", name, "--all", stdin="n\n", code=64)
    shared("secret", "destroy", name, "--all", "--yes")
    shared("secret", "get", name, code=3)


def test_a_list_is_filtered(shared: Command) -> None:
    """By prefix, tag and metadata; a table has a row each."""
    for which in ("a", "b"):
        shared("secret", "put", f"secret/list/{which}", "--tag", which, "-m", "k=v", stdin="x")
    found = decoded(shared("secret", "list", "secret/list", "-o", "json"))
    assert [secret["name"] for secret in found] == ["secret/list/a", "secret/list/b"]
    for words in (("--tag", "b"), ("--tag", "b", "--metadata", "k=v")):
        rows = shared("secret", "list", "secret/list", *words).stdout.splitlines()
        assert [row.split()[0] for row in rows] == ["name", "secret/list/b"]
    assert len(decoded(shared("secret", "list", "--limit", "1", "-o", "json"))) == 1


def test_a_name_of_any_letters_comes_back(shared: Command) -> None:
    """Blanks and signs that a URL would take for its own."""
    name = "secret/odd/ä b?c#d%"
    shared("secret", "put", name, stdin="x")
    assert shared("secret", "get", name, "--raw").stdout == "x\n"


def test_bad_names_and_values_are_one_line(shared: Command) -> None:
    """Nothing is stored."""
    for name in ("secret/../x", "secret//x", "secret/x/", "secret/a%2Fb"):
        done = shared("secret", "put", name, stdin="canary-value", code=64)
        assert done.stderr.count("\n") == 1
        assert "canary-value" not in done.stderr
    shared("secret", "put", "secret/big", stdin="x" * (1 << 20) + "x", code=64)


def test_a_program_gets_secrets_and_not_our_token(shared: Command) -> None:
    """`run` becomes the program: its output and exit code are the program's."""
    shared("secret", "put", "secret/run/env", "--json", stdin='{"DB": "x", "N": 1}')
    script = 'echo "$DB $N $V ${FREEHOLD_TOKEN-none} ${VAULT_TOKEN-none}"; exit 9'
    shared(
        "run", "-s", "secret/run/env", "--", "true", code=1
    )  # N is not what credentials are called
    done = shared("run", "-s", "secret/run/env#DB,N", "-e", "V=secret/run/env#DB", "--",
                  "sh", "-c", script, code=9, env={"VAULT_TOKEN": "t"})  # fmt: skip
    assert done.stdout == "x 1 x none none\n"
    shared("run", "-e", "V=secret/nosuch", "--", "true", code=3)
    shared("run", "--", "no-such-program", code=127)


def test_many_at_once(shared: Command, tmp_path: Path) -> None:
    """Imported and exported again, whole or in part, and never over what is there if not wanted."""
    file = tmp_path / "all.json"
    values = {f"secret/bulk/{i}": {"n": i, "t": "é"} for i in range(450)}
    file.write_text(json.dumps(values))
    assert shared("secret", "import", str(file)).stderr == "450 of 450 written\n"
    out = shared("secret", "export", *values)
    assert decoded(out) == values
    assert shared("secret", "import", "--create", stdin=out.stdout, code=5).stderr.startswith(
        "0 of"
    )
    part = shared("secret", "export", "secret/bulk/7", "secret/bulk/none", code=3)
    assert decoded(part) == {"secret/bulk/7": values["secret/bulk/7"]}
    state = decoded(shared("operator", "cache", "get", "-o", "json"))
    assert state["eviction_policy"] == "lru"
    assert state["hits"] > 0  # each worker tells its own once a second


def test_output_that_cannot_be_written_is_told(shared_agent: Agent) -> None:
    """A full disk is no fault of the program: it says so, in one line."""
    token = {"FREEHOLD_ADDR": shared_agent.address, "FREEHOLD_TOKEN": shared_agent.token}
    command = [FREEHOLD, "token", "get"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, env={**os.environ, **token}, text=True,
            check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "freehold: the output cannot be written: No space left on device\n"
