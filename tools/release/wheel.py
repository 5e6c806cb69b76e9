"""The wheel: everything but the interpreter and the libraries, the same bytes each time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.release.artefacts import DIST, ROOT, clone_into, commit_time, read_version
from tools.release.environments import product_environment
from tools.release.sbom import write_sbom


def build() -> list[Path]:
    """The wheel and its bill of materials."""
    with TemporaryDirectory(prefix="freehold-release-") as folder:
        clone = Path(folder, "freehold")
        clone_into(clone)
        modules = ROOT / "ui/web/node_modules"
        if modules.is_dir():  # of the same lock file, else tools/web.sh lays them anew
            shutil.copytree(modules, clone / "ui/web/node_modules", symlinks=True)
        file = build_from(clone, Path(folder, "out"), commit_time())
        target = DIST / file.name
        shutil.copy(file, target)
    sbom = DIST / f"freehold-{read_version().python}.cdx.json"
    write_sbom(product_environment(target), sbom)
    return [target, sbom]


def build_from(clone: Path, out: Path, time: int) -> Path:
    """By PEP 517, with the locked build backend of this environment."""
    command = [
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index",
        "--no-build-isolation", "--wheel-dir", str(out), ".",
    ]  # fmt: skip
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "SOURCE_DATE_EPOCH": str(time),
    }
    subprocess.run(command, cwd=clone, env=environment, check=True)
    [file] = out.glob("freehold-*.whl")
    return file
