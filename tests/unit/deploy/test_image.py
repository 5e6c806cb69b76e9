import re
import tomllib
from pathlib import Path

import pytest


@pytest.fixture
def steps(root: Path) -> list[str]:
    """The instructions of the Dockerfile, each on one line."""
    text = (root / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_base_images_are_named_exactly(steps: list[str]) -> None:
    """No `latest`, spoken or silent, and the same Python in both stages that have one."""
    node, *images = [step.split()[1] for step in steps if step.startswith("FROM ")]
    assert re.fullmatch(r"node:\d+-[a-z]+-slim", node)
    assert len(images) == 2
    assert len(set(images)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", images[0])


def test_the_web_interface_is_built_from_its_lock(steps: list[str]) -> None:
    """Hashes of the lock file, no package's own script, and only what was built goes on."""
    assert "RUN npm ci --ignore-scripts" in steps
    assert "COPY --from=web /src/dist ui/web/dist" in steps


def test_packages_come_by_hash(steps: list[str]) -> None:
    """Every pip installs from a lock, or what is already there without asking an index."""
    commands = [part for step in steps for part in step.split("&&")]
    pips = [part for part in commands if re.search(r"\bpip\b.* (?:install|wheel)\b", part)]
    assert len(pips) == 4
    assert all("--require-hashes" in pip or "--no-index" in pip for pip in pips)


def test_the_agent_is_an_ordinary_user(steps: list[str]) -> None:
    """By number, so that an orchestrator can check it, in the last stage."""
    assert steps.index("USER 10001:10001") > steps.index(steps[-1]) - 8
    assert not any(step.startswith("USER") for step in steps if step != "USER 10001:10001")


def test_health_is_asked_through_the_command_line(steps: list[str]) -> None:
    """And a sealed agent (exit code 2) is not restarted for it."""
    at = next(n for n, step in enumerate(steps) if step.startswith("HEALTHCHECK"))
    check = " ".join(steps[at : at + 2])
    assert "freehold status" in check
    assert "0|2) exit 0" in check


def test_what_is_copied_is_there_and_let_through(root: Path, steps: list[str]) -> None:
    """Docker cannot be run here, so the mistakes that it would find are looked for."""
    allowed = {
        line.removeprefix("!")
        for line in (root / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        source
        for step in steps
        if step.startswith("COPY ") and "--from" not in step
        for source in step.split()[1:-1]
    }
    assert {source for source in copied if not source.startswith("ui/")} == allowed
    assert all((root / source).exists() for source in copied)


def test_every_package_of_the_wheel_is_copied(root: Path, steps: list[str]) -> None:
    """One that is not makes an image whose commands end in an ImportError."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {f"COPY {name} {name}" for name in (each.rstrip("*") for each in packages)} <= {*steps}


def test_each_folder_of_the_example_settings_has_a_volume(root: Path, steps: list[str]) -> None:
    """Else the agent could not write there, with a read-only root file system."""
    text = (root / "deploy/vault.yaml").read_text()
    folders = set(re.findall(r"/var/(?:lib|log)/[a-z-]+", text))
    [volumes] = [step for step in steps if step.startswith("VOLUME")]
    usage = (root / "Dockerfile").read_text().partition("FROM")[0]
    assert folders
    for folder in folders:
        assert f'"{folder}"' in volumes
        assert f":{folder} " in usage
        assert any("install -d -o freehold" in step and folder in step for step in steps)
