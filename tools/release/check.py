"""Install what `make wheel`, `make binary` and `make packages` built, and use it.

    python -m tools.release.check [pip] [pipx] [uv] [binary] [deb] [rpm]

Each kind goes from the artefact to a first secret that is read over TLS, and its seconds are shown.
`pip`, `pipx` and `uv` make fresh environments, for which libraries come from the package index.
`deb` and `rpm` need root and debootstrap: they install, upgrade, remove and purge in a chroot whose
base is kept in `.release/base.tar`.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tools.release import packages
from tools.release.artefacts import DIST, ROOT, folder_name, platform_name, read_version
from tools.release.environments import FOLDER
from tools.release.first_secret import Installation, check_control_plane, first_secret, start_up

SUITE: Final = "trixie"
BASE: Final = ROOT / ".release/base.tar"
_NEXT: Final = "+next"
_FOLDERS: Final = {
    "/etc/freehold": ("root", 0o755),
    "/etc/freehold/rotators.d": ("root", 0o755),
    "/etc/freehold/vault.yaml": ("freehold", 0o640),
    "/etc/freehold/control.yaml": ("freehold-control", 0o640),
    "/var/lib/freehold": ("freehold", 0o700),
    "/var/lib/freehold-anchor": ("freehold", 0o700),
    "/var/lib/freehold-key": ("freehold", 0o700),
    "/var/lib/freehold-control": ("freehold-control", 0o700),
    "/var/log/freehold": ("freehold", 0o700),
}
"""What a package makes: the group that may read it, and its mode."""
EXPOSURE: Final = {"freehold-agent": 15, "freehold-control": 15}
"""What `systemd-analyze security` may say of a unit at most, times ten."""


def main() -> None:
    """Check the kinds that are named, or all."""
    os.umask(0o022)
    kinds = sys.argv[1:] or list(_CHECKS)
    for kind in kinds:
        if kind not in _CHECKS:
            raise SystemExit(f"{kind}: it is one of {', '.join(_CHECKS)}")
    for kind in kinds:
        began = time.monotonic()
        with TemporaryDirectory(prefix="freehold-check-", ignore_cleanup_errors=True) as folder:
            Path(folder).chmod(0o755)
            said = _CHECKS[kind](Path(folder))
        print(f"{kind:8} {said}; {time.monotonic() - began:.0f} s in all", flush=True)


def _wheel() -> Path:
    return _built(f"freehold-{read_version().python}-py3-none-any.whl", "wheel")


def _built(name: str, target: str) -> Path:
    file = DIST / name
    if not file.exists():
        raise SystemExit(f"there is no {name} in dist: run `make {target}` first")
    return file


def _check_pip(folder: Path) -> str:
    _run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _run(*pip, "--python", folder / "venv/bin/python", "install", _wheel())
    size = _size(folder / "venv")
    _require_deployment_files(folder / "venv")
    return f"{_use(folder, folder / 'venv/bin/freehold')}, {size / 1e6:.0f} MB installed"


def _check_pipx(folder: Path) -> str:
    _run(sys.executable, "-m", "venv", folder / "tool")
    _run(folder / "tool/bin/python", "-m", "pip", "--quiet", "install", "pipx")
    places = {"PIPX_HOME": str(folder / "pipx"), "PIPX_BIN_DIR": str(folder / "bin")}
    _run(folder / "tool/bin/pipx", "install", "--quiet", _wheel(), environment=places)
    return _use(folder, folder / "bin/freehold")


def _check_uv(folder: Path) -> str:
    _run(sys.executable, "-m", "venv", folder / "tool")
    _run(folder / "tool/bin/python", "-m", "pip", "--quiet", "install", "uv")
    places = {"UV_TOOL_DIR": str(folder / "uv"), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    _run(folder / "tool/bin/uv", "tool", "install", "--quiet", _wheel(), environment=places)
    return _use(folder, folder / "bin/freehold")


def _check_binary(folder: Path) -> str:
    """Unpacked from its archive, in an environment where no Python can be found."""
    archive = _built(f"{folder_name()}.tar.gz", "binary")
    _run("tar", "--extract", "--gzip", "--file", archive, "--directory", folder)
    program = folder / folder_name() / "freehold"
    said = _use(folder, program)
    bare = {"PATH": "/nonexistent", "HOME": str(folder)}
    own = start_up([str(program)], bare) * 1000
    python = start_up([str(FOLDER / "bin/freehold")], {"PATH": os.environ["PATH"]}) * 1000
    return f"{said}; --version: {own:.0f} ms of processor, from the environment {python:.0f} ms"


def _use(folder: Path, program: Path) -> str:
    """Agent and control plane; what the version is."""
    work = folder / "work"
    work.mkdir(mode=0o700)
    installed = Installation([str(program)], str(work), work)
    _require_version(installed)
    seconds = first_secret(installed)
    check_control_plane(installed)
    return f"first secret {seconds:.1f} s after the start of the agent"


def _require_version(installed: Installation) -> None:
    expected = f"freehold {read_version().python}"
    if (said := installed.run("--version").strip()) != expected:
        raise SystemExit(f"its version is {said!r}, not {expected!r}")


def _require_deployment_files(prefix: Path) -> None:
    for name in ("vault.yaml", "systemd/freehold-agent.service"):
        if not (prefix / "share/freehold" / name).is_file():
            raise SystemExit(f"{name} is not in share/freehold of the environment")


# --- packages ----------------------------------------------------------------------------------


def _check_deb(folder: Path) -> str:
    machine = platform_name().partition("-")[2]
    package = _built(packages.package_name("deb", machine), "packages")
    newer = packages.build_one("deb", folder / "newer.deb", suffix=_NEXT)
    with _chroot(folder / "root") as root:
        _install(root, package, "/first.deb")
        _install(root, newer, "/newer.deb")
        _in(root, "dpkg", "--install", "/first.deb")
        _require_installed(root, "dpkg --verify freehold")
        seconds = _use_in(root)
        _change_settings(root)
        _in(root, "dpkg", "--install", "/newer.deb")
        _require_upgraded(
            root, f"{read_version().package}{_NEXT}-1", "dpkg-query -Wf${Version} freehold"
        )
        _in(root, "dpkg", "--install", "/first.deb")
        _in(root, "dpkg", "--remove", "freehold")
        _require_kept(root)
        _in(root, "dpkg", "--purge", "freehold")
        _require_purged(root)
        _in(root, "dpkg", "--install", "/first.deb")
        _require_installed(root, "dpkg --verify freehold")
    return f"installed, upgraded, removed, purged; {seconds}"


def _check_rpm(folder: Path) -> str:
    """By rpm of this machine, in a root that has systemd and no other package of rpm's."""
    machine = platform_name().partition("-")[2]
    package = _built(packages.package_name("rpm", machine), "packages")
    newer = packages.build_one("rpm", folder / "newer.rpm", suffix=_NEXT)
    with _chroot(folder / "root") as root:
        rpm = ["rpm", "--root", str(root), "--nodeps"]
        _run("rpm", "--root", str(root), "--initdb")
        _run(*rpm, "--install", package)
        _require_installed(root)
        changed = _output(
            "rpm", "--root", str(root), "--verify", "--nodeps", "freehold", allowed=(0, 1)
        )
        for line in changed.splitlines():
            if line[:9].strip(".") != "G":  # the group of a configuration, which tmpfiles sets
                raise SystemExit(f"rpm --verify: {line}")
        seconds = _use_in(root)
        _change_settings(root)
        _run(*rpm, "--upgrade", newer)
        asked = ["rpm", "--root", str(root), "--query", "--queryformat", "%{version}", "freehold"]
        if (found := _output(*asked)) != f"{read_version().package}{_NEXT}":
            raise SystemExit(f"the version is {found}")
        _require_settings(root)
        _run(*rpm, "--erase", "freehold")
        saved = root / "etc/freehold/vault.yaml.rpmsave"
        if not saved.exists() or not (root / "var/lib/freehold").is_dir():
            raise SystemExit("a removal took the configuration or the data")
        _require_gone(root)
    return f"installed, upgraded, erased; {seconds}"


@contextmanager
def _chroot(root: Path) -> Iterator[Path]:
    """A Debian with systemd, of which nothing runs."""
    if os.geteuid() != 0:
        raise SystemExit("a chroot needs root")
    if not BASE.exists():
        with TemporaryDirectory(prefix="freehold-base-") as made:
            _run(
                "debootstrap", "--variant=minbase",
                "--include=systemd,systemd-sysv,openssl,ca-certificates", SUITE, made,
            )  # fmt: skip
            shutil.rmtree(Path(made, "var/cache/apt/archives"), ignore_errors=True)
            partial = BASE.with_suffix(".part")
            _run(
                "tar", "--create", "--file", partial, "--one-file-system", "--directory", made, "."
            )
            partial.rename(BASE)
    root.mkdir()
    _run("tar", "--extract", "--file", BASE, "--directory", root)
    root.chmod(0o755)  # that of the folder where the base was made is private
    _run("mount", "--bind", "/proc", root / "proc")
    try:
        yield root
    finally:
        _run("umount", root / "proc")


def _install(root: Path, file: Path, name: str) -> None:
    shutil.copy(file, root / name.lstrip("/"))


def _require_installed(root: Path, *verified: str) -> None:
    """Folders, modes and users; units that systemd understands and finds hard."""
    for path, (group, mode) in _FOLDERS.items():
        said = _in(root, "stat", "--format", "%G %a", path).split()
        if said != [group, f"{mode:o}"]:
            raise SystemExit(f"{path}: {said}, not {group} {mode:o}")
    for command in verified:
        if said := _in(root, *command.split()).strip():
            raise SystemExit(f"{command}: {said}")
    for user in ("freehold", "freehold-control"):
        entry = _in(root, "getent", "passwd", user).strip().split(":")
        if entry[5] != f"/var/lib/{user}" or entry[6] != "/usr/sbin/nologin":
            raise SystemExit(f"{user}: {entry}")
    units = [path.name for path in (root / "usr/lib/systemd/system").glob("freehold-*")]
    plain = [name for name in units if "@" not in name]
    _in(root, "systemd-analyze", "verify", *(f"/usr/lib/systemd/system/{name}" for name in units))
    if len(plain) < len(EXPOSURE):
        raise SystemExit(f"units are missing: {units}")
    for name, most in EXPOSURE.items():
        unit = f"/usr/lib/systemd/system/{name}.service"
        _in(root, "systemd-analyze", "security", "--offline=true", f"--threshold={most}", unit)
    _in(root, "systemctl", "enable", "freehold-agent.service")
    _in(root, "systemctl", "disable", "freehold-agent.service")


def _use_in(root: Path) -> str:
    """As the package's user, in the chroot."""
    entry = _in(root, "getent", "passwd", "freehold").split(":")
    owner = int(entry[2]), int(entry[3])
    outside = root / "var/lib/freehold/check"
    outside.mkdir()
    prefix = ["chroot", str(root), "runuser", "-u", "freehold", "--"]
    installed = Installation(["/usr/bin/freehold"], "/var/lib/freehold/check", outside, prefix)
    _require_version(installed)
    seconds = first_secret(installed, owner)
    check_control_plane(installed)
    return f"first secret {seconds:.1f} s after the start of the agent"


def _change_settings(root: Path) -> None:
    with (root / "etc/freehold/vault.yaml").open("a") as file:
        file.write("# changed here\n")


def _require_settings(root: Path) -> None:
    if "# changed here" not in (root / "etc/freehold/vault.yaml").read_text():
        raise SystemExit("an upgrade overwrote the configuration")
    if not (root / "var/lib/freehold/check/data/vault.db").exists():
        raise SystemExit("an upgrade took the data")


def _require_upgraded(root: Path, version: str, asked: str) -> None:
    if (found := _in(root, *asked.split())) != version:
        raise SystemExit(f"the version is {found}, not {version}")
    _require_settings(root)


def _require_kept(root: Path) -> None:
    """After a removal: configuration, data and users, but no program."""
    _require_settings(root)
    _in(root, "getent", "passwd", "freehold")
    _require_gone(root)


def _require_gone(root: Path) -> None:
    for path in (
        "usr/bin/freehold",
        "usr/lib/freehold",
        "usr/lib/systemd/system/freehold-agent.service",
    ):
        if (root / path).exists():
            raise SystemExit(f"a removal left /{path}")


def _require_purged(root: Path) -> None:
    for path in _FOLDERS:
        if (root / path.lstrip("/")).exists():
            raise SystemExit(f"a purge left {path}")
    passwd = (root / "etc/passwd").read_text()
    if "freehold" in passwd:
        raise SystemExit("a purge left a user")


def _in(root: Path, *command: str) -> str:
    path = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "SYSTEMD_OFFLINE": "1",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    return _output("chroot", root, *command, environment=path)


# --- commands ----------------------------------------------------------------------------------


def _run(*command: str | Path, environment: Mapping[str, str] | None = None) -> None:
    _output(*command, environment=environment)


def _output(
    *command: str | Path,
    environment: Mapping[str, str] | None = None,
    allowed: Sequence[int] = (0,),
) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    if done.returncode not in allowed:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


_CHECKS: Final = {
    "pip": _check_pip, "pipx": _check_pipx, "uv": _check_uv,
    "binary": _check_binary,
    "deb": _check_deb, "rpm": _check_rpm,
}  # fmt: skip

if __name__ == "__main__":
    main()
