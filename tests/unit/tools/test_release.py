"""What packages, archives and signatures promise to whoever installs them."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from runpy import run_path

import pytest
import yaml

from tools.release.artefacts import Version, pack, read_version
from tools.release.packages import unit_for_package
from tools.release.signatures import SUFFIX, SignatureError, sign, verify

VERSIONS = ("0.9", "1.0a1", "1.0b1", "1.0rc1", "1.0rc2", "1.0", "1.0.post1", "1.0.1")
PROGRAM = "deploy/binary/program.py"
STATE = "StateDirectory", "LogsDirectory"


def test_a_version_is_older_than_the_next_one_in_packages_too() -> None:
    """As Python orders them, a pre-release before its release."""
    for older, newer in pairwise(VERSIONS):
        first, second = Version(older).package, Version(newer).package
        compared = ["dpkg", "--compare-versions", f"{first}-1", "lt", f"{second}-1"]
        assert subprocess.run(compared, check=False).returncode == 0, (first, second)
    with pytest.raises(ValueError, match="no N"):
        Version("1.0.dev1+local").package  # noqa: B018


def test_the_version_is_that_of_the_program(root: Path) -> None:
    """There is one place that has it."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert read_version().python == project["version"]
    assert "${VERSION}" in (root / "deploy/packages/nfpm.yaml").read_text()


def test_what_a_package_takes_is_there(root: Path) -> None:
    """And configuration that was changed is kept."""
    found = yaml.safe_load((root / "deploy/packages/nfpm.yaml").read_text())
    sources = [entry["src"] for entry in found["contents"] if "src" in entry]
    for source in [*sources, *found["scripts"].values()]:
        if not source.startswith(("$", "/")):
            assert (root / source).is_file(), source
    configured = {e["src"]: e["type"] for e in found["contents"] if e["dst"].endswith(".yaml")}
    assert configured == dict.fromkeys(
        ("deploy/vault.yaml", "deploy/control.yaml"), "config|noreplace"
    )


def test_units_of_a_package_start_what_a_package_has(root: Path) -> None:
    """No path of an environment of Python is left, and no note on how to install the unit."""
    units = [path for path in (root / "deploy/systemd").iterdir() if path.is_file()]
    assert units
    for unit in units:
        text = unit_for_package(unit.read_text())
        assert "/opt/" not in text
        assert "install -" not in text.partition("[Unit]")[0]
        for started in re.findall(r"^Exec(?:Start|StartPre)=(\S+)", text, re.MULTILINE):
            assert started in {"/usr/bin/freehold", "/usr/lib/freehold/freehold"}
    with pytest.raises(ValueError, match="/opt"):
        unit_for_package("# A.\n[Unit]\nExecStart=/opt/freehold/bin/other\n")


def test_folders_are_those_of_the_units(root: Path) -> None:
    """What tmpfiles.d makes has the owner and mode that systemd would give it."""
    lines = (root / "deploy/packages/tmpfiles.conf").read_text().splitlines()
    made = {
        line.split()[1]: tuple(line.split()[2:5]) for line in lines if line.startswith(("d", "z"))
    }
    for unit in ("freehold-agent", "freehold-control"):
        text = (root / f"deploy/systemd/{unit}.service").read_text()
        settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
        for kind, parent in zip(STATE, ("/var/lib", "/var/log"), strict=True):
            for name in settings.get(kind, "").split():
                mode, user = settings[f"{kind}Mode"], settings["User"]
                assert made[f"{parent}/{name}"] == (mode, user, settings["Group"])
    users = (root / "deploy/packages/sysusers.conf").read_text()
    for owners in made.values():
        assert all(name == "root" or f"u {name} " in users for name in owners[1:])


def test_scripts_are_for_any_shell(root: Path) -> None:
    """Packages run them by `sh`, which is dash on Debian."""
    for script in sorted((root / "deploy/packages/scripts").iterdir()):
        subprocess.run(["sh", "-n", script], check=True)
        text = script.read_text()
        assert text.startswith("#!/bin/sh\n")
        assert "[[" not in text


def test_the_binary_runs_all_that_a_program_of_ours_starts(root: Path) -> None:
    """`sys.executable -m MODULE` is the binary there, which takes no other module."""
    started = set()
    for folder in ("vault", "control", "ui", "deploy/systemd"):
        for file in (root / folder).rglob("*"):
            if file.suffix in {".py", ".service"}:
                text = file.read_text()
                started |= set(re.findall(r'"-m",\s*"([\w.]+)"', text))
                started |= set(re.findall(r"^ExecStart=.* -m ([\w.]+)", text, re.MULTILINE))
    listed = re.search(
        r"^MODULES = \((.*?)\)", (root / PROGRAM).read_text(), re.MULTILINE | re.DOTALL
    )
    assert listed is not None
    assert started == set(re.findall(r'"([\w.]+)"', listed[1]))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--version",), 0, "freehold "),
        (("-I", "-m", "vault.rotation.launcher", "--help"), 0, "vault.rotation.launcher"),
        (("-P", "-m", "http.server"), 1, "no module 'http.server' to run"),
        (("-m",), 1, "no module '' to run"),
    ],
)
def test_the_binary_is_the_command_or_a_module(
    root: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """A binary is no interpreter: nobody starts other modules by it."""
    done = subprocess.run(
        [sys.executable, root / PROGRAM, *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == code
    assert said in done.stdout + done.stderr


def test_what_the_binary_starts_has_its_own_libraries(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loader's path is the system's again; the bootloader has kept it."""
    monkeypatch.setattr(sys, "argv", ["freehold", "-m", "none"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    for before in ("/mine", None):
        monkeypatch.setenv("LD_LIBRARY_PATH", "/folder/_internal")
        monkeypatch.delenv("LD_LIBRARY_PATH_ORIG", raising=False)
        if before is not None:
            monkeypatch.setenv("LD_LIBRARY_PATH_ORIG", before)
        with pytest.raises(SystemExit):
            run_path(str(root / PROGRAM))
        assert os.environ.get("LD_LIBRARY_PATH") == before
        assert "LD_LIBRARY_PATH_ORIG" not in os.environ


def test_an_archive_says_nothing_of_the_machine(tmp_path: Path) -> None:
    """The same files are the same bytes, whoever packed them and when."""
    packed = []
    for number, name in enumerate(("a", "b")):
        folder = tmp_path / name / "freehold"
        folder.mkdir(parents=True)
        (folder / "program").write_text("#!\n")
        (folder / "program").chmod(0o700 if number else 0o755)
        (folder / "data").write_text("1")
        (folder / "data").chmod(0o600 if number else 0o664)
        os.utime(folder / "data", (number, number))
        file = tmp_path / f"{name}.tar.gz"
        pack(folder, file, 1_700_000_000)
        packed.append(file.read_bytes())
    assert packed[0] == packed[1]


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key pair of cosign's."""
    if shutil.which("cosign") is None:
        pytest.skip("needs cosign")
    monkeypatch.setenv("COSIGN_PASSWORD", "")
    made = ["cosign", "generate-key-pair", "--output-key-prefix", "release"]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_a_signature_is_verified_offline(keys: Path) -> None:
    """A bundle of Sigstore's; a changed file or another key is refused."""
    file = keys / "freehold.whl"
    file.write_bytes(b"wheel")
    bundle = sign(file, keys / "release.key")
    assert bundle == file.with_name(file.name + SUFFIX)
    assert '"application/vnd.dev.sigstore.bundle.v0.3+json"' in bundle.read_text()
    verify(file, keys / "release.pub")
    other = ["cosign", "generate-key-pair", "--output-key-prefix", "other"]
    subprocess.run(other, cwd=keys, check=True, capture_output=True)
    with pytest.raises(SignatureError, match="invalid signature"):
        verify(file, keys / "other.pub")
    file.write_bytes(b"wheeL")
    with pytest.raises(SignatureError, match="invalid signature"):
        verify(file, keys / "release.pub")
