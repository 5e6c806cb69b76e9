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
    agent.answer({"value": {"DB_USER": "bob", "PORT": [1]}})
    agent.answer({"value": "pw"})
    agent.answer({"value": {"x": "deep"}})
    words = ("-s", "secret/env", "-e", "PW=secret/pw", "-e", "X=secret/x#x")
    assert cli("run", *words, "prog", "-o", "json").code == 0
    [(file, arguments, environment)] = started
    assert (file, arguments) == (str(prog), ["prog", "-o", "json"])
    wanted = {"DB_USER": "bob", "PORT": "[1]", "PW": "pw", "X": "deep", "OTHER": "stays"}
    assert environment.items() >= wanted.items()
    assert not environment.keys() & {"FREEHOLD_TOKEN", "VAULT_TOKEN", "BAO_TOKEN"}


@pytest.mark.parametrize(
    ("value", "words", "code"),
    [
        ("text", ("-s", "secret/a"), 1),
        ({"not a name": "x"}, ("-s", "secret/a"), 1),
        ({"1A": "x"}, ("-s", "secret/a"), 1),
        ({"1A": "x"}, ("-s", "secret/a#1A"), 1),
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


STEERS = """
PATH path LD_PRELOAD PYTHONPATH PYTHONSTARTUP BASH_ENV NODE_OPTIONS PERL5OPT GIT_SSH_COMMAND
JAVA_TOOL_OPTIONS HOME ENV TAR_OPTIONS MAKEFLAGS OPENSSL_CONF PYTEST_ADDOPTS GUNICORN_CMD_ARGS
KUBECONFIG PSQL_PAGER IBM_JAVA_OPTIONS LESSKEY_CONTENT LESSOPEN https_proxy SSL_CERT_FILE
NODE_TLS_REJECT_UNAUTHORIZED SSLKEYLOGFILE REQUESTS_CA_BUNDLE KRB5_CONFIG ANT_OPTS JRUBY_OPTS
GOCACHEPROG FZF_DEFAULT_COMMAND CURL_HOME WGETRC TF_CLI_CONFIG_FILE VAULT_ADDR FREEHOLD_ADDR
DBUS_SESSION_BUS_ADDRESS DBUS_SYSTEM_BUS_ADDRESS RUSTFLAGS CFLAGS LDFLAGS CPPFLAGS
BORG_PASSCOMMAND AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD GOAUTH MANOPT RCLONE_SFTP_SSH
GROFF_BIN_PATH JAVACMD CLOUDSDK_PYTHON EMACSLOADPATH VIMRUNTIME GCC_EXEC_PREFIX COMPILER_PATH
PKG_CONFIG HELM_PLUGINS SSH_SK_HELPER SSH_PKCS11_HELPER MYSQL_HOME R_HOME FCEDIT MPLBACKEND
SCRAPY_SETTINGS_MODULE FC RM LEX YACC AS NM CC COMPOSE_FILE NIX_PATH GNUPGHOME TMPDIR
VK_LAYER_PATH GIT_ASKPASS SSH_ASKPASS LIBVA_DRIVER_NAME __GLX_VENDOR_LIBRARY_NAME __DB_PASSWORD
DOCKER_HOST CONTAINER_HOST PIP_INDEX_URL UV_INDEX_URL HEX_MIRROR_URL HTTP_PROXY_URL
PLAYWRIGHT_DOWNLOAD_HOST DENO_CERT SSL_CERT PUB_HOSTED_URL GIT_TERMINAL_PROMPT SOME_SETTING
"""


CREDENTIALS = """
GITHUB_TOKEN NPM_TOKEN DATABASE_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY DB_HOST DB_PORT DB_USER
DB_USERNAME POSTGRES_DB user password SMTP_PASS SENTRY_DSN REDIS_URI CLIENT_CERT CLIENT_KEY
CLUSTER_CA SSL_KEY BORG_PASSPHRASE DOCKER_PASSWORD token
"""


@pytest.mark.parametrize("key", STEERS.split())
def test_a_key_that_is_no_credentials_has_to_be_named(
    key: str, agent: FakeAgent, cli: Run, started: Started
) -> None:
    """Whoever writes a secret does not choose what runs, unless the caller says so."""
    value = {key: "planted", "DB_USER": "bob"}
    agent.answer({"value": value})
    done = cli("run", "-s", "secret/env", "--", "prog")
    assert (done.code, started) == (1, [])
    assert key in done.err
    assert "--secret 'secret/env#KEY,KEY'" in done.err
    assert "planted" not in done.err
    agent.answer({"value": value})
    assert cli("run", "-s", f"secret/env#{key}", "--", "prog").code == 0
    assert started[0][2][key] == "planted"
    assert "DB_USER" not in started[0][2]


def test_credentials_need_no_names(agent: FakeAgent, cli: Run, started: Started) -> None:
    """In either case; with what their place, user and number are called."""
    value = dict.fromkeys(CREDENTIALS.split(), "x")
    agent.answer({"value": value})
    assert cli("run", "-s", "secret/env", "--", "prog").code == 0
    assert started[0][2].items() >= value.items()


def test_named_keys_alone_are_taken(agent: FakeAgent, cli: Run, started: Started) -> None:
    """Each has to be there."""
    value = {"A": "1", "B": "2", "PATH": "planted"}
    agent.answer({"value": value})
    assert cli("run", "-s", "secret/env#A,B", "--", "prog").code == 0
    assert started[0][2].items() >= {"A": "1", "B": "2"}.items()
    assert started[0][2]["PATH"] != "planted"
    agent.answer({"value": value})
    assert cli("run", "-s", "secret/env#A,C", "--", "prog").code == 3
    assert cli("run", "-s", "secret/env#A,", "--", "prog").code == 64
    assert len(started) == 1


def test_an_error_does_not_repeat_all_that_a_writer_chose(
    agent: FakeAgent, cli: Run, started: Started
) -> None:
    """Some of the keys tell enough."""
    agent.answer({"value": {f"K{i:03}": "" for i in range(200)}})
    done = cli("run", "-s", "secret/env", "--", "prog")
    assert (done.code, started) == (1, [])
    assert "K007, ..." in done.err
    assert "K008" not in done.err


def test_what_the_caller_has_set_is_not_changed_unless_named(
    agent: FakeAgent, cli: Run, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it means to a program."""
    monkeypatch.setenv("SOME_USER", "mine")
    monkeypatch.setenv("SAME_ID", "[1]")
    value = {"SOME_USER": "planted", "SAME_ID": [1]}
    agent.answer({"value": value})
    done = cli("run", "-s", "secret/env", "--", "prog")
    assert (done.code, started) == (1, [])
    assert "SOME_USER" in done.err
    assert "planted" not in done.err
    agent.answer({"value": value})
    assert cli("run", "-s", "secret/env#SOME_USER,SAME_ID", "--", "prog").code == 0
    assert started[0][2].items() >= {"SOME_USER": "planted", "SAME_ID": "[1]"}.items()


def test_the_program_is_found_by_the_callers_path(
    agent: FakeAgent, cli: Run, started: Started, prog: Path, tmp_path: Path
) -> None:
    """Also where a secret may set PATH for the program."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "prog").write_text("#!/bin/sh\n")
    (other / "prog").chmod(0o755)
    agent.answer({"value": {"PATH": str(other)}})
    assert cli("run", "-s", "secret/env#PATH", "--", "prog").code == 0
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
