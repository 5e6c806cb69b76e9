"""The environment that binaries are made of: the locked libraries of all extras, and the wheel."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tools.release.artefacts import ROOT

FOLDER: Final = ROOT / ".release/product"


def product_environment(wheel: Path) -> Path:
    """Its interpreter; quick where only the wheel is another one."""
    python = FOLDER / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    # python-ldap cannot be built on Windows, where there is the client alone.
    requirements = ROOT / f"requirements/{'base' if sys.platform == 'win32' else 'binary'}.txt"
    locked = requirements.read_bytes()
    stamp = FOLDER / "locked"
    if not stamp.exists() or stamp.read_bytes() != locked:
        shutil.rmtree(FOLDER, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", FOLDER], check=True)
        _pip(python, "--require-hashes", "--requirement", str(requirements))
        stamp.write_bytes(locked)
    _pip(python, "--no-deps", "--no-index", "--force-reinstall", str(wheel))
    return python


def _pip(python: Path, *arguments: str) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--python", str(python), "install", *arguments], check=True)
