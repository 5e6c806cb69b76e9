"""The control plane's example file and unit say what the program takes."""

import re
from pathlib import Path

import yaml

from control.config.load import load_settings
from control.config.settings import MailServerSettings, RedisSettings, Settings

COMMENTED = re.compile("^( *)# ", re.MULTILINE)


def test_the_example_is_accepted_and_names_every_key(root: Path) -> None:
    """Each section with each of its keys, at its default; what is off by itself, in a comment."""
    file = root / "deploy" / "control.yaml"
    settings = load_settings(file, {})
    body = file.read_text().partition("\n\n")[2]
    said, shown = (yaml.safe_load(text) for text in (body, COMMENTED.sub(r"\1", body)))
    assert set(shown) == set(Settings.model_fields)
    for name in said:
        assert set(shown[name]) == set(type(getattr(settings, name)).model_fields), name
    assert set(shown["redis"]) == set(RedisSettings.model_fields)
    assert set(shown["notify"]["mail"]) == set(MailServerSettings.model_fields)
    assert settings.presence == Settings.model_fields["presence"].default
    assert settings.retention == Settings.model_fields["retention"].default


def test_the_unit_is_the_agents_but_for_what_it_runs(root: Path) -> None:
    """The same confinement, another program, another user and folder."""
    folder = root / "deploy" / "systemd"
    agent = (folder / "freehold-agent.service").read_text().split("# ", 1)[1]
    unit = (folder / "freehold-control.service").read_text()
    assert "ExecStart=/opt/freehold/bin/freehold control serve --config" in unit
    assert "\nStateDirectory=freehold-control\n" in unit  # where control.yaml keeps everything
    for line in agent.splitlines():
        if line.startswith(("Protect", "Private", "Restrict", "SystemCall", "NoNew", "Memory")):
            assert line in unit, line
