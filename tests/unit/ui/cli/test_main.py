import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run
from ui.cli import main as module
from ui.cli.context import api_path
from ui.cli.main import GROUPS


def test_help_is_the_answer_to_nothing(cli: Run) -> None:
    """And wrong usage all the same."""
    done = cli()
    assert (done.code, done.err) == (64, "")
    assert "Usage" in done.out


def test_the_version_is_that_of_the_package(cli: Run) -> None:
    """One line."""
    done = cli("--version")
    assert done.code == 0
    assert done.out.startswith("freehold ")
    assert cli("version").out == done.out
    assert f"freehold {cli('version', '-o', 'json').json['version']}\n" == done.out


def test_short_help_is_help(cli: Run) -> None:
    """At every level; a command's ends with examples."""
    for words in ((), ("secret",), ("secret", "get"), ("run",)):
        assert cli(*words, "-h").out == cli(*words, "--help").out
    assert "freehold secret get secret/app/db --raw" in cli("secret", "get", "-h").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nosuch",), "see `freehold --help`"),
        (("secret", "get"), "see `freehold secret get --help`"),
        (("secret", "get", "a", "--nosuch"), "--nosuch"),
        (("-o", "xml", "status"), "see `freehold --help`"),
    ],
)
def test_wrong_usage_is_one_line_and_says_where_help_is(
    words: tuple[str, ...], said: str, cli: Run
) -> None:
    """With a code that no state of the vault has."""
    done = cli(*words)
    assert (done.code, done.out) == (64, "")
    assert done.err.count("\n") == 1
    assert said in done.err


def test_an_error_of_the_agent_is_one_line(agent: FakeAgent, cli: Run) -> None:
    """Whatever it wrote."""
    agent.answer({"message": "no\nway\x1b[2J", "request_id": "r"}, 400)
    done = cli("role", "list")
    assert (done.code, done.err) == (1, "freehold: no\\nway\\x1b[2J (request r)\n")


def test_a_fault_of_ours_is_one_line_without_its_values(agent: FakeAgent, cli: Run) -> None:
    """Type and place are enough to find it."""
    agent.answer({"s3cret": "s3cret"})
    done = cli("role", "list")
    assert done.code == 1
    assert done.err.startswith("freehold: internal error, please report it: KeyError at role.py:")
    assert done.err.count("\n") == 1
    assert "s3cret" not in done.err


def test_each_of_several_faults_is_told(
    cli: Run, monkeypatch: pytest.MonkeyPatch, agent: FakeAgent
) -> None:
    """A group is not one error."""

    def fail(**_: object) -> None:
        raise ExceptionGroup("two", [ValueError("x"), ExceptionGroup("in", [KeyError("y")])])

    monkeypatch.setattr(module, "app", fail)
    assert "ValueError; KeyError" in cli().err


def test_a_reader_that_has_enough_ends_it_quietly(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `| head` does."""

    def fail(**_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(module, "app", fail)
    done = cli()
    assert (done.code, done.err) == (1, "")


def test_routes_are_those_of_the_agent(cli: Run) -> None:
    """Each resource that a command asks for is one that the native API serves."""
    from vault.edge.native.dialect import RESOURCES

    served = {e.template.split("/")[0] for resource in RESOURCES for e in resource.all}
    asked = ("secrets", "policies", "users", "roles", "keys", "tokens", "audit", "system",
             "versions", "diff", "metadata", "rollback", "delete", "undelete", "destroy",
             "policies-effective", "policies-dry-run")  # fmt: skip
    assert set(asked) <= served
    assert api_path("x").startswith("/api/v1/")


def test_faults_of_a_file_are_a_line_each(cli: Run, tmp_path: Path) -> None:
    """Each with its control characters escaped, such as those of a key."""
    file = tmp_path / "vault.yaml"
    file.write_text('"a\\nb": 1\nc: 2\n')
    done = cli("agent", "serve", "--config", str(file))
    assert done.code == 1
    lines = done.err.splitlines()
    assert all(line.startswith(f"freehold: {file}: ") for line in lines)
    assert [line for line in lines if ": a\\nb: is not a key" in line]
    assert [line for line in lines if ": c: is not a key" in line]


_LOADS = """
import gc, sys
from ui.cli import main
looks = []
gc.callbacks.append(lambda *told: looks.append(told))
sys.argv = ["freehold", "--output", "json", "mount", "list", "--help"]
try:
    main.main()
except SystemExit:
    pass
assert "pydantic" in sys.modules
assert looks == []
"""


def test_a_command_loads_without_collecting() -> None:
    """In a process of its own: what it loads has not been loaded before."""
    subprocess.run([sys.executable, "-c", _LOADS], check=True, capture_output=True)


PROGRAM = """
import sys
from ui.cli import main
sys.argv = ["freehold", "mount", "list", "--help"]
try:
    main.main()
except SystemExit as ended:
    assert ended.code == 0
print(*sys.modules)
"""


def test_only_the_group_that_was_asked_for_is_loaded() -> None:
    """In a process of its own, as a command is."""
    program = [sys.executable, "-c", PROGRAM]
    said = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    loaded = set(said.splitlines()[-1].split())
    assert {name for name in GROUPS if f"ui.cli.{name}" in loaded} == {"mount"}


def test_the_help_has_them_all(cli: Run) -> None:
    """Each with what it is for; whoever mistypes one is told which it may have been."""
    said = cli("--help").out
    lines = [line.strip(" │").split(maxsplit=1) for line in said.splitlines()]
    told = {words[0]: words[1] for words in lines if len(words) == 2}
    assert all(told[name].endswith(".") for name in GROUPS)
    assert "'secret'" in cli("secrt").err


def test_each_is_called_by_its_name(cli: Run) -> None:
    """Also where its own usage is told."""
    for name in GROUPS:
        assert f"freehold {name} " in cli(name, "--help").out
