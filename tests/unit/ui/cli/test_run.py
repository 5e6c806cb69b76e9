import os
from collections.abc import Callable

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

Started = list[tuple[str, list[str], dict[str, str]]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What would have become this process: program, arguments, environment."""
    programs: Started = []

    def become(file: str, arguments: list[str], environment: dict[str, str]) -> None:
        programs.append((file, arguments, environment))

    monkeypatch.setattr(os, "execvpe", become)
    return programs


def failing(error: OSError) -> Callable[..., None]:
    """A system that cannot start programs."""

    def become(*_: object) -> None:
        raise error

    return become


def test_fields_and_values_become_variables(
    agent: FakeAgent, cli: Run, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others stay, but for the tokens; the program's options are its own."""
    monkeypatch.setenv("VAULT_TOKEN", "t")
    monkeypatch.setenv("BAO_TOKEN", "t")
    monkeypatch.setenv("OTHER", "stays")
    agent.answer({"value": {"USER_NAME": "bob", "PORTS": [1]}})
    agent.answer({"value": "pw"})
    agent.answer({"value": {"x": "deep"}})
    words = ("-s", "secret/env", "-e", "PW=secret/pw", "-e", "X=secret/x#x")
    assert cli("run", *words, "prog", "-o", "json").code == 0
    [(file, arguments, environment)] = started
    assert (file, arguments) == ("prog", ["prog", "-o", "json"])
    wanted = {"USER_NAME": "bob", "PORTS": "[1]", "PW": "pw", "X": "deep", "OTHER": "stays"}
    assert environment.items() >= wanted.items()
    assert not environment.keys() & {"FREEHOLD_TOKEN", "VAULT_TOKEN", "BAO_TOKEN"}


@pytest.mark.parametrize(
    ("value", "words", "code"),
    [
        ("text", ("-s", "secret/a"), 1),
        ({"not a name": "x"}, ("-s", "secret/a"), 1),
        ({"1A": "x"}, ("-s", "secret/a"), 1),
        ("a\0b", ("-e", "A=secret/a"), 1),
        ("text", ("-e", "A=secret/a#f"), 3),
        ({"a": 1}, ("-e", "A=secret/a#f"), 3),
    ],
)
def test_what_is_no_variable_starts_nothing(
    value: object, words: tuple[str, ...], code: int, agent: FakeAgent, cli: Run, started: Started
) -> None:
    """Nor is a value shown."""
    agent.answer({"value": value})
    done = cli("run", *words, "--", "prog")
    assert (done.code, started) == (code, [])
    assert "text" not in done.err


def test_an_assignment_needs_its_sign(agent: FakeAgent, cli: Run, started: Started) -> None:
    """Wrong usage, before anything is read."""
    assert cli("run", "-e", "secret/a", "--", "prog").code == 64
    assert agent.seen == []


@pytest.mark.parametrize(
    ("error", "code"), [(FileNotFoundError(2, "no"), 127), (PermissionError(13, "denied"), 126)]
)
def test_a_program_that_does_not_start_is_told_as_shells_do(
    error: OSError, code: int, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127: not there; 126: not to be run."""
    monkeypatch.setattr(os, "execvpe", failing(error))
    done = cli("run", "--", "prog")
    assert done.code == code
    assert "prog" in done.err
