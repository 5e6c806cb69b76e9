"""What the build has made: its size, and what the browser is given to run."""

import gzip
import json
import re
import subprocess
from pathlib import Path

import pytest

from ui.web.files import BUILT

FIRST_VIEW = 60_000  # bytes of JavaScript, gzipped, until the fleet is on the screen


@pytest.fixture(scope="module")
def manifest() -> dict[str, dict[str, list[str] | str]]:
    """Which source became which file, and what that imports at once."""
    read: dict[str, dict[str, list[str] | str]] = json.loads(
        (BUILT / "manifest.json").read_text(encoding="utf-8")
    )
    return read


def needed(manifest: dict[str, dict[str, list[str] | str]], *sources: str) -> set[str]:
    """The scripts that the browser loads for these sources, each once."""
    found: set[str] = set()
    waiting = list(sources)
    while waiting:
        entry = manifest[waiting.pop()]
        if entry["file"] not in found:
            found.add(str(entry["file"]))
            waiting += entry.get("imports", [])
    return {file for file in found if file.endswith(".js")}


def test_the_first_view_is_small(manifest: dict[str, dict[str, list[str] | str]]) -> None:
    """Signed in, with the fleet's list and curves: at most 60 kB of script."""
    scripts = needed(manifest, "control.html", "src/control/pages/fleet.tsx")
    assert len(scripts) > 1
    total = sum(len(gzip.compress((BUILT / file).read_bytes(), 9)) for file in scripts)
    assert total <= FIRST_VIEW


def test_pages_hold_no_script_or_style_of_their_own() -> None:
    """The security policy would not let it run, and nobody would see why."""
    for page in ("control.html", "agent.html"):
        html = (BUILT / page).read_text(encoding="utf-8")
        assert re.findall(r"<script(?![^>]*\bsrc=)", html) == []
        assert re.findall(r"<style|\bstyle=|\bon\w+=", html) == []
        assert re.findall(r"(?:src|href)=\"(?!/)", html) == []


def test_the_logic_of_the_pages_holds(root: Path) -> None:
    """The tests of `ui/web/tests`, by node's own runner."""
    run = subprocess.run(
        ["npm", "run", "--silent", "test"],
        cwd=root / "ui/web", capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    passed = re.search(r"^# pass (\d+)$", run.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) > 0
