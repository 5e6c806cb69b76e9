"""The control plane's example file and unit say what the program takes."""

from pathlib import Path

import yaml

from control.config.load import load_settings
from control.config.settings import Settings


def test_the_example_is_accepted_and_names_every_key(root: Path) -> None:
    """Each section with each of its keys, at its default."""
    file = root / "deploy" / "control.yaml"
    settings = load_settings(file, {})
    said = yaml.safe_load(file.read_text())
    assert set(said) == set(Settings.model_fields)
    for name in said:
        assert set(said[name]) == set(type(getattr(settings, name)).model_fields), name
    assert settings.presence == Settings.model_fields["presence"].default
    assert settings.retention == Settings.model_fields["retention"].default


def test_the_unit_is_the_agents_but_for_what_it_runs(root: Path) -> None:
    """The same confinement, another program, another user and folder."""
    folder = root / "deploy" / "systemd"
    agent = (folder / "freehold-agent.service").read_text().split("# ", 1)[1]
    unit = (folder / "freehold-control.service").read_text()
    assert "ExecStart=/opt/freehold/bin/freehold control serve --config" in unit
    for line in agent.splitlines():
        if line.startswith(("Protect", "Private", "Restrict", "SystemCall", "NoNew", "Memory")):
            assert line in unit, line
