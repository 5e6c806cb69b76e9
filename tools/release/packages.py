""".deb and .rpm around the folder of the binary, by nfpm (deploy/packages/nfpm.yaml)."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Final

from tools.release.artefacts import (
    DIST,
    ROOT,
    commit_time,
    folder_name,
    platform_name,
    read_version,
)

_UNITS: Final = {
    "/opt/freehold/bin/freehold": "/usr/bin/freehold",
    "/opt/freehold/bin/python -I": "/usr/lib/freehold/freehold -I",
}
"""What the units of deploy/systemd start, and what it is in a package."""
_GLIBC: Final = re.compile(rb"GLIBC_(\d+)\.(\d+)")


def build() -> list[Path]:
    """Both packages."""
    architecture = platform_name().partition("-")[2]
    return [build_one(kind, DIST / package_name(kind, architecture)) for kind in ("deb", "rpm")]


def build_one(kind: str, file: Path, suffix: str = "") -> Path:
    """One of them. `suffix`: of the version, for a package that upgrades another one."""
    system, _, architecture = platform_name().partition("-")
    folder = DIST / folder_name()
    if system != "linux" or not folder.is_dir():
        raise SystemExit(f"there is no {folder.name} in dist: run `make binary` on Linux first")
    with TemporaryDirectory(prefix="freehold-release-") as stage:
        prepare(Path(stage), folder / "freehold")
        values = {
            "ARCH": architecture,
            "VERSION": read_version().package + suffix,
            "FOLDER": str(folder),
            "STAGE": stage,
            "GLIBC": ".".join(map(str, required_glibc(folder))),
            "MAINTAINER": os.environ.get("MAINTAINER", "Freehold <packages@freehold.invalid>"),
            "HOMEPAGE": os.environ.get("HOMEPAGE", ""),
        }
        file.unlink(missing_ok=True)
        _nfpm(kind, file, Path(stage, "nfpm.yaml"), values)
    return file


def package_name(kind: str, architecture: str) -> str:
    """As each distribution writes it."""
    version = read_version().package
    if kind == "deb":
        return f"freehold_{version}-1_{architecture}.deb"
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[architecture]
    return f"freehold-{version}-1.{machine}.rpm"


def prepare(stage: Path, program: Path) -> None:
    """What a package has beside the folder: units, manual pages, completion, licence."""
    units = stage / "units"
    units.mkdir()
    for file in sorted((ROOT / "deploy/systemd").iterdir()):
        if file.is_file():
            (units / file.name).write_text(unit_for_package(file.read_text()))
    manual = stage / "man"
    pages = stage / "pages"
    made = [_project_python(), "-m", "tools.man", pages]
    subprocess.run(made, cwd=ROOT, check=True, capture_output=True)
    manual.mkdir()
    for page in sorted(pages.glob("*.1")):
        packed = subprocess.run(
            ["gzip", "-9", "--no-name"], input=page.read_bytes(), capture_output=True, check=True
        )
        (manual / f"{page.name}.gz").write_bytes(packed.stdout)
    doc = stage / "doc"
    doc.mkdir()
    shutil.copy(ROOT / "LICENSE", doc / "copyright")
    shutil.copy(ROOT / "README.md", doc)
    for example in sorted((ROOT / "deploy/systemd").glob("*/*.example")):
        shutil.copy(example, doc)
    completions = stage / "completions"
    completions.mkdir()
    shown = subprocess.run(
        [program, "--show-completion", "bash"], capture_output=True, text=True, check=False,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    if shown.returncode or "complete" not in shown.stdout:
        raise SystemExit(f"no completion for bash: {shown.stderr.strip()}")
    (completions / "freehold.bash").write_text(shown.stdout)
    moment = commit_time()
    for path in stage.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (moment, moment))


def unit_for_package(text: str) -> str:
    """A unit of deploy/systemd with the paths of a package, without the notes on its installation.

    Raises `ValueError` if a path of /opt is left.
    """
    head, mark, rest = text.partition("[Unit]")
    for before, after in _UNITS.items():
        rest = rest.replace(before, after)
    if "/opt/freehold" in rest:
        raise ValueError("a unit has a path below /opt that no package has")
    return f"{head.partition('To install')[0].rstrip()}\n\n{mark}{rest}"


def required_glibc(folder: Path) -> tuple[int, int]:
    """The newest version of the C library that something in the folder asks for."""
    newest = (2, 17)
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink() and _is_elf(file):
            found = [(int(major), int(minor)) for major, minor in _GLIBC.findall(file.read_bytes())]
            newest = max([newest, *found])
    return newest


def _is_elf(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"


def _project_python() -> Path:
    return ROOT / os.environ.get("VENV", ".venv") / "bin/python"


def _nfpm(kind: str, file: Path, configuration: Path, values: dict[str, str]) -> None:
    text = (ROOT / "deploy/packages/nfpm.yaml").read_text()
    configuration.write_text(Template(text).substitute(values))
    command = [
        str(Path(sys.executable).with_name("nfpm")), "package", "--packager", kind,
        "--config", str(configuration), "--target", str(file),
    ]  # fmt: skip
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(commit_time())}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{file.name}: {done.stdout}{done.stderr}")
