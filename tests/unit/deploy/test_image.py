import re
import tomllib
from pathlib import Path

import pytest
import yaml

from vault.config.load import load_settings

PROGRAMS = ("agent", "control", "operator", "cli")


@pytest.fixture
def steps(root: Path) -> list[str]:
    """The instructions of the Dockerfile, each on one line."""
    text = (root / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture
def stages(steps: list[str]) -> dict[str, list[str]]:
    """The instructions of each stage, by its name."""
    found: dict[str, list[str]] = {}
    for step in steps:
        if step.startswith("FROM "):
            found[step.split()[-1]] = current = []
        elif found:
            current.append(step)
    return found


def test_base_images_are_named_exactly(steps: list[str]) -> None:
    """One Debian, which `make image` replaces; no `latest`, spoken or silent."""
    assert steps[0] == "ARG BASE=debian:trixie-slim"
    bases = {step.split()[1] for step in steps if step.startswith("FROM ")}
    assert bases == {"${BASE}", "scratch", "runtime"}


def test_programs_have_a_stage_each_and_the_agent_is_the_default(
    stages: dict[str, list[str]],
) -> None:
    """`--target` names one; without it the last is built."""
    assert set(PROGRAMS) < set(stages)
    assert list(stages)[-1] == "agent"


def test_the_web_interface_is_built_from_its_lock(steps: list[str]) -> None:
    """Hashes of the lock file, no package's own script, and only what was built goes on."""
    assert any("npm ci --ignore-scripts" in step for step in steps)
    assert "COPY --from=pages /dist ui/web/dist" in steps


def test_packages_come_by_hash(steps: list[str]) -> None:
    """Every pip installs from a lock, or what is already there without asking an index."""
    commands = [part for step in steps for part in step.split("&&")]
    pips = [part for part in commands if re.search(r"\bpip\b.* (?:install|wheel)\b", part)]
    assert len(pips) == 4
    assert all("--require-hashes" in pip or "--no-index" in pip for pip in pips)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_runs_as_an_ordinary_user(stages: dict[str, list[str]], program: str) -> None:
    """By number, so that an orchestrator can check it; and nothing runs in it before."""
    assert "USER 10001:10001" in stages[program]
    assert not any(step.startswith("RUN") for step in (*stages[program], *stages["runtime"]))


@pytest.mark.parametrize(
    ("stage", "program"),
    [("agent", "agent"), ("control", "control"), ("operator", "kubernetes")],
)
def test_health_is_asked_without_a_shell(
    stages: dict[str, list[str]], stage: str, program: str
) -> None:
    """There is none; and a sealed agent is healthy (`agent health`)."""
    [check] = [step for step in stages[stage] if step.startswith("HEALTHCHECK")]
    assert f'CMD ["freehold", "{program}", "health", "--config", "/etc/freehold/' in check


def test_what_is_copied_is_there_and_let_through(root: Path, steps: list[str]) -> None:
    """What a build would find late is found at once."""
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


def test_each_folder_of_the_example_settings_has_a_volume(
    root: Path, stages: dict[str, list[str]]
) -> None:
    """Else the agent could not write there, with a read-only root file system."""
    text = (root / "deploy/vault.yaml").read_text()
    folders = set(re.findall(r"/var/(?:lib|log)/[a-z-]+", text))
    [volumes] = [step for step in stages["agent"] if step.startswith("VOLUME")]
    compose = (root / "deploy/compose/agent.yaml").read_text()
    assert folders
    for folder in folders:
        assert f'"{folder}"' in volumes
        assert re.search(rf":{folder}\b", compose)
        assert folder.removeprefix("/var/lib/") in " ".join(stages["folders"])


@pytest.mark.parametrize("name", ["agent.yaml", "fleet.yaml"])
def test_services_of_compose_are_confined(root: Path, name: str) -> None:
    """Each of ours: read-only, without capabilities, an ordinary user, and time to stop."""
    found = yaml.safe_load((root / "deploy/compose" / name).read_text())
    ours = {key: each for key, each in found["services"].items() if "freehold-" in each["image"]}
    assert ours
    for each in ours.values():
        assert each["read_only"] is True
        assert each["cap_drop"] == ["ALL"]
        assert each["user"] == "10001:10001"
        assert each["security_opt"] == ["no-new-privileges:true"]
        if "serve" in each["command"]:
            assert each["stop_grace_period"] == "45s"
    named = {
        word.partition(":")[0] for each in found["services"].values() for word in each["volumes"]
    }
    assert {word for word in named if not word.startswith("./")} == set(found["volumes"])


def test_the_settings_of_compose_are_accepted(root: Path) -> None:
    """Of the control plane; those of agents are made by `agent init`."""
    from control.config.load import load_settings as load_control

    url = {"FREEHOLD_CONTROL_DATABASE__URL": "postgresql://freehold:pw@postgres:5432/freehold"}
    settings = load_control(root / "deploy/compose/control.yaml", url)
    assert settings.link is not None
    assert settings.server.tls.cert_file == Path("/var/lib/freehold-control/tls/server.crt")
    compose = yaml.safe_load((root / "deploy/compose/fleet.yaml").read_text())
    variables = compose["services"]["agent-1"]["environment"]
    given = {key: value for key, value in variables.items() if not key.endswith("PIN")}
    linked = load_settings(root / "deploy/vault.yaml", given).control_plane
    assert (linked.enabled, linked.endpoint) == (True, "https://control:8301")
