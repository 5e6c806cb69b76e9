from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from vault.config import Settings, load_settings


def test_the_example_is_a_file_the_agent_takes(root: Path) -> None:
    """What is installed as /etc/freehold/vault.yaml starts."""
    found = load_settings(root / "deploy/vault.yaml", {})
    assert found.server.address == ("0.0.0.0", 8200)
    assert found.server.tls.client_auth == "none"
    assert found.audit_log == Path("/var/log/freehold/audit.log")


def test_the_example_shows_the_defaults(root: Path) -> None:
    """Every value that has a default is that default, so the file can be read as the reference."""
    written: dict[str, Any] = yaml.safe_load((root / "deploy/vault.yaml").read_text())
    shown = load_settings(root / "deploy/vault.yaml", {})
    least = {
        "server": written["server"],
        "storage": {"connection_string": written["storage"]["connection_string"]},
        "audit": {"log_file": written["audit"]["log_file"]},
        "anchor": {"file": written["anchor"]["file"]},
    }
    assert shown == Settings.model_validate(least)


def test_the_example_names_every_key(root: Path) -> None:
    """But for those of the sections that can only be off, and the ones shown in a comment."""
    text = (root / "deploy/vault.yaml").read_text()
    missing = {
        key
        for name, section in Settings.model_fields.items()
        if name != "backup"
        for key in keys(section.annotation)
        if f"{key}:" not in text
    }
    assert not missing


def keys(section: Any) -> set[str]:
    """The keys of a section and of the sections inside it."""
    found = set()
    for name, field in section.model_fields.items():
        found.add(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= keys(field.annotation)
    return found
