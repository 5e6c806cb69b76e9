"""Builds the web pages before they are packed, and adds `deploy/`; else see pyproject.toml."""

import subprocess
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

_ROOT = Path(__file__).parent
_BUILD = _ROOT / "tools/web.sh"
_PAGES = ("agent.html", "control.html")


def build_pages() -> None:
    """Bring `ui/web/dist` up to date. An unpacked source archive has it, and no build script.

    Raises `SystemExit` where it is not there and cannot be built: a package without it would
    install and then serve no pages.
    """
    if _BUILD.exists():
        try:
            subprocess.run([_BUILD], check=True)  # noqa: S603  # our own script
        except (OSError, subprocess.CalledProcessError):
            raise SystemExit(
                "the web pages cannot be built: install nodejs and npm, then repeat"
            ) from None
    missing = [page for page in _PAGES if not (_ROOT / "ui/web/dist" / page).exists()]
    if missing:
        raise SystemExit(
            f"ui/web/dist/{missing[0]} is missing: build a wheel from a checkout, "
            "where tools/web.sh makes it, or from a source archive, which holds it"
        )


def deployment_files() -> list[tuple[str, list[str]]]:
    """All of `deploy/`, for `share/freehold` below the prefix: units, configuration, dashboards."""
    folders: dict[str, list[str]] = {}
    for file in sorted((_ROOT / "deploy").rglob("*")):
        name = file.relative_to(_ROOT)
        if file.is_file() and "__pycache__" not in name.parts:
            target = Path("share/freehold", *name.parts[1:-1])
            folders.setdefault(target.as_posix(), []).append(name.as_posix())
    return list(folders.items())


class _BuildPy(build_py):
    def run(self) -> None:
        if not self.editable_mode:
            build_pages()
        super().run()


class _Sdist(sdist):
    def run(self) -> None:
        build_pages()
        super().run()


_commands: dict[str, Any] = {"build_py": _BuildPy, "sdist": _Sdist}
setup(cmdclass=_commands, data_files=deployment_files())
