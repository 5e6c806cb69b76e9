"""The binary: PyInstaller's folder of the wheel, for this machine's system and processor."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tools.release.artefacts import DIST, ROOT, commit_time, folder_name, pack, read_version
from tools.release.environments import FOLDER, product_environment
from tools.release.sbom import write_sbom

LIBRARIES: Final = (
    "asyncssh", "azure.identity", "azure.keyvault.keys", "botocore", "coredis",
    "google.cloud.kms_v1", "ldap", "obstore", "pkcs11", "psycopg", "pymysql",
)  # fmt: skip
"""A binary cannot be given a library later, so none of these may be missing."""


def build() -> list[Path]:
    """Its archive and bill of materials; the folder itself stays in `dist`."""
    wheel = DIST / f"freehold-{read_version().python}-py3-none-any.whl"
    if not wheel.exists():
        raise SystemExit(f"there is no {wheel.name} in dist: run `make wheel` first")
    python = product_environment(wheel)
    if sys.platform != "win32":  # the client alone: it has no need of them
        check = "; ".join(f"import {name}" for name in LIBRARIES)
        subprocess.run([python, "-c", check], check=True)
    target = DIST / folder_name()
    with TemporaryDirectory(prefix="freehold-release-") as work:
        _freeze(Path(work))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(Path(work, "out/freehold"), target, symlinks=True)
    moment = commit_time()
    for path in target.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
            os.utime(path, (moment, moment))
    target.chmod(0o755)
    archive = DIST / f"{target.name}.tar.gz"
    pack(target, archive, moment)
    sbom = DIST / f"{target.name}.cdx.json"
    inside = target / "_internal"
    write_sbom(python, sbom, sorted(inside.glob("*.so*")))
    return [archive, sbom]


def _freeze(work: Path) -> None:
    """PyInstaller of this environment looks at the other one's packages, and uses its Python."""
    site = next((FOLDER / "lib").glob("python3*/site-packages"), FOLDER / "Lib/site-packages")
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "PYTHONHASHSEED": "1",
        "SOURCE_DATE_EPOCH": str(commit_time()),
        "PYINSTALLER_CONFIG_DIR": str(work / "cache"),
    }
    command = [
        sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "ERROR",
        "--distpath", str(work / "out"), "--workpath", str(work / "build"),
        str(ROOT / "deploy/binary/freehold.spec"),
    ]  # fmt: skip
    subprocess.run(command, env=environment, check=True, cwd=work)
