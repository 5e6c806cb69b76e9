"""Names, versions and times of what is built, the same in every format."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
DIST: Final = ROOT / "dist"
SUMS: Final = "SHA256SUMS"
_VERSION: Final = re.compile(r"(\d+(?:\.\d+)*)(?:(a|b|rc)(\d+))?(?:\.post(\d+))?")
_MACHINES: Final = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class Version(NamedTuple):
    """The version of pyproject.toml (PEP 440), as each format writes it."""

    python: str

    @property
    def package(self) -> str:
        """Of a .deb and an .rpm: a pre-release is older than its release there by `~`."""
        found = _VERSION.fullmatch(self.python)
        if found is None:
            raise ValueError(f"version {self.python!r}: no N.N.N with rcN or .postN")
        number, kind, count, post = found.groups()
        return number + (f"~{kind}{count}" if kind else "") + (f"+post{post}" if post else "")


def read_version() -> Version:
    """The only place that has it."""
    return Version(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def platform_name() -> str:
    """`linux-amd64`: what binaries are called by. Raises `SystemExit` for an unknown machine."""
    machine = platform.machine()
    if machine not in _MACHINES:
        raise SystemExit(f"no binary for {machine}: it is one of {', '.join(sorted(_MACHINES))}")
    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, sys.platform)
    return f"{system}-{_MACHINES[machine]}"


def folder_name() -> str:
    """`freehold-VERSION-PLATFORM`, below `dist`."""
    return f"freehold-{read_version().python}-{platform_name()}"


def commit_time() -> int:
    """Seconds since 1970 of the commit: the time of all files in what is built of it."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return int(given or _git("log", "-1", "--format=%ct").decode())


def clone_into(folder: Path) -> None:
    """The committed files, with modes that no umask changes."""
    if _git("status", "--porcelain", "--untracked-files=no").strip():
        print("release: what is not committed is left out", file=sys.stderr)
    with tarfile.open(fileobj=BytesIO(_git("archive", "--format=tar", "HEAD"))) as archive:
        archive.extractall(folder, filter="tar")
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def pack(folder: Path, file: Path, time: int) -> None:
    """A .tar.gz whose bytes say nothing of this machine: sorted, owned by root, of one time."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = time
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in [folder, *sorted(folder.rglob("*"))]:
            name = path.relative_to(folder.parent).as_posix()
            archive.add(path, name, recursive=False, filter=plain)
    gzip = shutil.which("gzip") or "gzip"
    done = subprocess.run(
        [gzip, "--no-name"], input=packed.getvalue(), capture_output=True, check=True
    )
    file.write_bytes(done.stdout)


def write_sums() -> None:
    """`sha256sum --check SHA256SUMS` proves a download, as far as this file is trusted."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(DIST.iterdir())
        if file.is_file() and file.name != SUMS and not file.name.endswith(".sigstore.json")
    ]
    (DIST / SUMS).write_text("".join(lines))


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout
