"""`freehold template`: files of secrets, whole or not at all."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.agent import Agent
from tests.acceptance.cli.conftest import Command
from tests.acceptance.command import FREEHOLD

WITHIN: Final = 30.0  # seconds for whatever is waited for


@pytest.fixture
def secrets(shared: Command) -> Command:
    """A secret with an object and one with a text."""
    value = json.dumps({"user": "app", "password": "p&<w>"})
    shared("secret", "put", "secret/app/db", "--json", stdin=value)
    shared("secret", "put", "secret/app/text", stdin="plain")
    return shared


def eventually(holds: Callable[[], bool]) -> None:
    """Until it holds; it must."""
    until = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_file_is_made(secrets: Command, tmp_path: Path) -> None:
    """Values as they are, with the mode that was asked for; unchanged, it is left alone."""
    source, out, ran = tmp_path / "a.j2", tmp_path / "a.conf", tmp_path / "ran"
    source.write_text(
        "{% set db = secret('secret/app/db') %}{{ db.user }}:{{ db['password'] }}\n"
        "{{ secret('secret/app/text') | upper }}\n"
    )
    words = ("template", str(source), "--out", str(out), "--mode", "0640")
    command = ("--exec", f"sh -c 'echo x$FREEHOLD_TOKEN >> {ran}'")
    secrets(*words, *command)
    assert out.read_text() == "app:p&<w>\nPLAIN\n"
    assert out.stat().st_mode & 0o777 == 0o640
    secrets(*words, *command)
    assert ran.read_text() == "x\n"
    out.chmod(0o644)
    secrets(*words, *command)
    assert (out.stat().st_mode & 0o777, ran.read_text()) == (0o640, "x\nx\n")


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("{{ secret('secret/app/db').passwrd }}", 1, "line 1: "),
        ("\n{{ nothing }}", 1, "line 2: 'nothing' is undefined"),
        ("{{ secret('secret/none') }}", 3, "there is no secret of this name"),
        ("{% if %}", 64, "line 1: "),
        ("{{ ''.__class__.__mro__ }}", 1, "unsafe"),
        ("{{ 'a' * 10000000 }}", 1, "too large"),
        ("{{ 10 ** 100000000 }}", 1, "too large"),
        ("{{ secret('secret/app/text') | int(base=99) }}{{ 1 // 0 }}", 1, "line 1: "),
        ("{% for i in range(90000) %}{{ 'a' * 1000 }}{% endfor %}", 1, "more than 8 MiB"),
        ("{% include 'x' %}", 1, "line 1: "),
    ],
)  # fmt: skip
def test_what_fails_leaves_the_file(
    secrets: Command, tmp_path: Path, text: str, code: int, told: str
) -> None:
    """As it was, with no other file beside it; the error has no value in it."""
    source, out = tmp_path / "a.j2", tmp_path / "out" / "a.conf"
    out.parent.mkdir()
    out.write_text("before")
    source.write_text(text)
    done = secrets("template", str(source), "--out", str(out), code=code)
    assert told in done.stderr
    assert "plain" not in done.stderr
    assert out.read_text() == "before"
    assert list(out.parent.iterdir()) == [out]


def test_several_by_a_file(secrets: Command, tmp_path: Path) -> None:
    """One that fails does not keep the others."""
    (tmp_path / "a.j2").write_text("{{ secret('secret/app/text') }}")
    (tmp_path / "b.j2").write_text("{{ secret('secret/none') }}")
    config = tmp_path / "templates.toml"
    config.write_text(
        '[[template]]\nsource = "b.j2"\nout = "b"\n\n'
        '[[template]]\nsource = "a.j2"\nout = "a"\nmode = "0600"\n'
    )
    secrets("template", "--config", str(config), code=3)
    assert (tmp_path / "a").read_text() == "plain"
    assert not (tmp_path / "b").exists()
    for wrong in (
        "",
        "x = 1",
        '[[template]]\nsource = "a"',
        '[[template]]\nsource=1\nout="b"',
        "[",
    ):
        config.write_text(wrong)
        secrets("template", "--config", str(config), code=64)


def test_wrong_options(secrets: Command, tmp_path: Path) -> None:
    """64, before anything is read."""
    source = tmp_path / "a.j2"
    source.write_text("x")
    secrets("template", code=64)
    secrets("template", str(source), code=64)
    secrets("template", str(source), "--out", "a", "--config", "b", code=64)
    secrets("template", str(source), "--out", str(tmp_path / "a"), "--mode", "999", code=64)
    out = ("--out", str(tmp_path / "a"))
    secrets("template", str(source), *out, "--owner", "no-such-user", code=64)
    secrets("template", str(source), "--out", str(tmp_path / "none" / "a"), code=1)


def test_it_follows_changes(agent: Agent, cli: Command, folder: Path) -> None:
    """Until it is told to end; a secret that is gone leaves the file as it is."""
    cli("secret", "put", "secret/app", stdin="one")
    source, out, ran = folder / "a.j2", folder / "a.conf", folder / "ran"
    source.write_text("value {{ secret('secret/app') }}")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder),
        "FREEHOLD_ADDR": agent.address, "FREEHOLD_TOKEN": agent.token,
    }  # fmt: skip
    command = f"sh -c 'cat {out} >> {ran}; echo >> {ran}'"
    words = ("template", str(source), "--out", str(out), "--exec", command, "--watch")
    run = subprocess.Popen([FREEHOLD, *words], env=environment)
    try:
        eventually(lambda: ran.exists() and ran.read_text() == "value one\n")
        cli("secret", "put", "secret/app", stdin="two")
        eventually(lambda: ran.read_text() == "value one\nvalue two\n")
        cli("secret", "delete", "secret/app")
        cli("secret", "put", "secret/app", stdin="three")
        eventually(lambda: ran.read_text().endswith("value three\n"))
    finally:
        run.send_signal(signal.SIGTERM)
        assert run.wait(WITHIN) == 0
