"""What a wheel contains that is built from a fresh clone."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """The files that git has, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, text=True, check=True,
    )  # fmt: skip
    folder = tmp_path / "clone"
    for name in listed.stdout.split("\0"):
        if name and (source := root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


def wheel(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build one into `folder/out`."""
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    return subprocess.run(
        [*pip, "--wheel-dir", "out", "."], cwd=folder, capture_output=True, text=True,
        env={"HOME": str(folder), **environment}, check=False,
    )  # fmt: skip


def built_from(root: Path, clone: Path) -> Path:
    """The wheel of a clone."""
    # What npm installs is the same for every clone.
    shutil.copytree(root / "ui/web/node_modules", clone / "ui/web/node_modules", symlinks=True)
    built = wheel(clone, PATH=os.environ["PATH"], SOURCE_DATE_EPOCH="1700000000")
    assert built.returncode == 0, built.stderr
    [file] = (clone / "out").glob("freehold-*.whl")
    return file


def test_it_holds_everything(root: Path, clone: Path, tmp_path: Path) -> None:
    """Packages, pages, migrations, deployment files; and its bytes are those of another build."""
    other = shutil.copytree(clone, tmp_path / "elsewhere/clone")
    file = built_from(root, clone)
    names = zipfile.ZipFile(file).namelist()
    for wanted in ("ui/web/dist/agent.html", "ui/web/dist/control.html", "control/app.py",
                   "vault/app.py", "control/compliance/frameworks/soc2.json",
                   "vault/store/migrations/env.py", "control/store/migrations/env.py"):  # fmt: skip
        assert wanted in names
    assert any(name.startswith("ui/web/dist/assets/") and name.endswith(".js") for name in names)
    deployed = {
        name.partition(".data/data/share/freehold/")[2] for name in names if ".data/data/" in name
    }
    folder = clone / "deploy"
    assert deployed == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    }
    for path in other.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    assert built_from(root, other).read_bytes() == file.read_bytes()


def test_without_node_there_is_no_wheel(clone: Path) -> None:
    """It says what to install; one without pages would serve none, without a word."""
    tools = clone / "bin"
    tools.mkdir()
    for name in (
        "bash",
        "dirname",
        "find",
        "sort",
        "xargs",
        "sha256sum",
        "cut",
        "flock",
        "cat",
        "env",
    ):
        (tools / name).symlink_to(shutil.which(name) or name)
    built = wheel(clone, PATH=str(tools))
    assert built.returncode != 0
    assert "install nodejs and npm" in built.stdout + built.stderr
