import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.ui.cli.conftest import FakeAgent, Run

Started = list[tuple[str, list[str], dict[str, str]]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What would have become this process: program, arguments, environment."""
    programs: Started = []

    def become(file: str, arguments: list[str], environment: dict[str, str]) -> None:
        programs.append((file, arguments, environment))

    monkeypatch.setattr(os, "execve", become)
    return programs


@pytest.fixture(autouse=True)
def prog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program on the caller's PATH."""
    program = tmp_path / "prog"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return program


def failing(error: OSError) -> Callable[..., None]:
    """A system that cannot start programs."""

    def become(*_: object) -> None:
        raise error

    return become


def test_fields_and_values_become_variables(
    agent: FakeAgent, cli: Run, started: Started, prog: Path, monkeypatch: pytest.MonkeyPatch
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
    assert (file, arguments) == (str(prog), ["prog", "-o", "json"])
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
    "key",
    [
        "PATH",
        "path",
        "LD_PRELOAD",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "BASH_ENV",
        "NODE_OPTIONS",
        "PERL5OPT",
        "GIT_SSH_COMMAND",
        "JAVA_TOOL_OPTIONS",
        "HOME",
        "ENV",
        "TAR_OPTIONS",
        "MAKEFLAGS",
        "OPENSSL_CONF",
        "PYTEST_ADDOPTS",
        "GUNICORN_CMD_ARGS",
        "KUBECONFIG",
        "PSQL_PAGER",
        "IBM_JAVA_OPTIONS",
        "LESSKEY_CONTENT",
        "LESSOPEN",
        "https_proxy",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "SSL_CERT_FILE",
        "SSLKEYLOGFILE",
        "REQUESTS_CA_BUNDLE",
        "KRB5_CONFIG",
        "ANT_OPTS",
        "JRUBY_OPTS",
        "GOCACHEPROG",
        "FZF_DEFAULT_COMMAND",
        "CURL_HOME",
        "WGETRC",
        "TF_CLI_CONFIG_FILE",
        "VAULT_ADDR",
        "FREEHOLD_ADDR",
    ],
)
def test_a_key_that_chooses_code_is_refused_unless_allowed(
    key: str, agent: FakeAgent, cli: Run, started: Started
) -> None:
    """Whoever writes a secret does not choose what runs, unless the caller says so."""
    agent.answer({"value": {key: "planted", "USER_NAME": "bob"}})
    done = cli("run", "-s", "secret/env", "--", "prog")
    assert (done.code, started) == (1, [])
    assert f"--allow {key}" in done.err
    assert "planted" not in done.err
    agent.answer({"value": {key: "planted", "USER_NAME": "bob"}})
    assert cli("run", "-s", "secret/env", "--allow", key, "--", "prog").code == 0
    assert started[0][2][key] == "planted"


def test_ordinary_keys_need_no_leave(agent: FakeAgent, cli: Run, started: Started) -> None:
    """Names that only begin alike."""
    value = {
        "GITHUB_TOKEN": "1",
        "NODE_ENV": "2",
        "DATABASE_URL": "3",
        "AWS_SECRET_ACCESS_KEY": "6",
        "VAULTED": "7",
        "PATHS": "4",
        "HOMEPAGE": "5",
    }
    agent.answer({"value": value})
    assert cli("run", "-s", "secret/env", "--", "prog").code == 0
    assert started[0][2].items() >= value.items()


def test_what_the_caller_has_set_is_not_changed_unless_allowed(
    agent: FakeAgent, cli: Run, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it means to a program: no list of such names is complete."""
    monkeypatch.setenv("SOME_SETTING", "mine")
    monkeypatch.setenv("SAME", "[1]")
    value = {"SOME_SETTING": "planted", "SAME": [1]}
    agent.answer({"value": value})
    done = cli("run", "-s", "secret/env", "--", "prog")
    assert (done.code, started) == (1, [])
    assert "--allow SOME_SETTING" in done.err
    assert "planted" not in done.err
    agent.answer({"value": value})
    assert cli("run", "-s", "secret/env", "--allow", "SOME_SETTING", "--", "prog").code == 0
    assert started[0][2].items() >= {"SOME_SETTING": "planted", "SAME": "[1]"}.items()


def test_the_program_is_found_by_the_callers_path(
    agent: FakeAgent, cli: Run, started: Started, prog: Path, tmp_path: Path
) -> None:
    """Also where a secret may set PATH for the program."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "prog").write_text("#!/bin/sh\n")
    (other / "prog").chmod(0o755)
    agent.answer({"value": {"PATH": str(other)}})
    assert cli("run", "-s", "secret/env", "--allow", "PATH", "--", "prog").code == 0
    assert started[0][0] == str(prog)


def test_a_program_that_is_not_there_is_told_as_shells_do(cli: Run, started: Started) -> None:
    """127, by convention."""
    done = cli("run", "--", "nowhere")
    assert (done.code, started) == (127, [])
    assert "nowhere" in done.err


def test_a_program_that_cannot_run_is_told_as_shells_do(
    cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """126, by convention."""
    monkeypatch.setattr(os, "execve", failing(PermissionError(13, "denied")))
    done = cli("run", "--", "prog")
    assert done.code == 126
    assert "prog" in done.err
