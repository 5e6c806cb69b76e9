"""A program that lacks a library, or a system that lacks a module, says what to do."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

_PROGRAM = """if True:
    import sys
    sys.modules.update(dict.fromkeys({missing!r}))
    from ui.cli.main import main
    main()
"""
_AGENT = """\
server: {{listen: "127.0.0.1:0", tls: {{enabled: false}}, workers: 1}}
storage: {{type: {type}, connection_string: "{url}"}}
audit: {{log_file: "{folder}/audit.log"}}
"""
_CONTROL = """\
server: {{listen: "127.0.0.1:0", tls: {{enabled: false}}}}
link: {{listen: "127.0.0.1:0", hosts: ["127.0.0.1"], authority: "{folder}/ca"}}
database: {{url: "{url}"}}
keys: {{folder: "{folder}/keys"}}
"""


def run_without(missing: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, where none of these modules can be imported."""
    program = _PROGRAM.format(missing=missing)
    environment = {
        "FREEHOLD_ADDR": "http://127.0.0.1:9", "FREEHOLD_TOKEN": "none", "HOME": "/nonexistent",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, check=False, timeout=60, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("program", "type_", "url", "module", "extra"),
    [
        (
            "agent",
            "postgresql",
            "postgresql://freehold@127.0.0.1:5432/freehold",
            "psycopg",
            "postgresql",
        ),
        ("agent", "mysql", "mysql://freehold@127.0.0.1:3306/freehold", "pymysql", "mysql"),
        ("control", "", "postgresql:///freehold", "psycopg", "postgresql"),
    ],
)
def test_a_database_without_its_driver(
    tmp_path: Path, program: str, type_: str, url: str, module: str, extra: str
) -> None:
    """One line that can be typed, and no traceback."""
    text = (_AGENT if program == "agent" else _CONTROL).format(type=type_, url=url, folder=tmp_path)
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    action = ("serve",)
    if program == "control":
        password = tmp_path / "password"
        action = (
            "init",
            "acme",
            "--root",
            str(tmp_path / "root"),
            "--password-file",
            str(password),
        )
    done = run_without((module,), program, *action, "--config", str(file))
    assert done.returncode != 0
    assert f"{module} is not installed: pip install 'freehold[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_extra_is_named_by_a_program_and_exists(root: Path) -> None:
    """What an error tells people to install can be installed."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = set()
    for folder in ("vault", "control", "ui"):
        for file in (root / folder).rglob("*.py"):
            named |= set(re.findall(r"pip install 'freehold\[(\w+)\]'", file.read_text()))
    assert named == set(extras) - {"all"}
    [everything] = extras["all"]
    without_compiler = set(extras) - {"all", "ldap"}
    assert set(everything.removeprefix("freehold[").removesuffix("]").split(",")) == (
        without_compiler
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--version",), "freehold "),
        (("secret", "get", "app"), "cannot reach http://127.0.0.1:9"),
        (("run", "--env", "A=secret/app", "--", "env"), "cannot reach http://127.0.0.1:9"),
        (("fleet", "agent", "list"), "cannot reach"),
        (("agent", "serve", "--config", "vault.yaml"), "needs Linux or macOS"),
        (("control", "serve", "--config", "control.yaml"), "needs Linux or macOS"),
    ],
)
def test_windows_has_the_client(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """A system without the modules of Unix reaches agents elsewhere, and says what it cannot."""
    agent = _AGENT.format(type="sqlite", url="sqlite:////none/vault.db", folder=tmp_path)
    (tmp_path / "vault.yaml").write_text(agent)
    control = _CONTROL.format(url="sqlite:////none/control.db", folder=tmp_path)
    (tmp_path / "control.yaml").write_text(control)
    placed = tuple(str(tmp_path / each) if each.endswith(".yaml") else each for each in arguments)
    done = run_without(("fcntl", "grp", "pwd", "resource", "termios"), *placed)
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
