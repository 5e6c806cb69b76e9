"""The kinds that come with Freehold."""

import re
from pathlib import Path

import pytest

from actors.testing import FakeWorld
from vault.errors import SetupError
from vault.rotation.kinds import ServiceSettings, load_rotators


def test_the_specification_lists_every_kind(root: Path) -> None:
    """And says of each whether both values work for a while."""
    rotators = load_rotators(ServiceSettings(), FakeWorld())
    text = (root / "docs/spec/rotators.md").read_text()
    row = r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$"
    listed = dict(re.findall(row, text, re.MULTILINE))
    databases = {"postgresql", "mysql", "redis", "ldap"}  # in a specification of their own
    assert set(rotators.names()) - databases <= set(listed)
    for name, config in (
        ("generated", {}),
        ("ssh", {"username": "app"}),
        ("tls", {"names": ["app.internal"]}),
        ("tls-authority", {}),
        ("aws", {"username": "app"}),
    ):
        kind = rotators.get(name)
        assert kind.overlaps(kind.parse(config))
        assert listed[name].startswith("yes")
    for name, config in (("webhook", {"url": "https://h/"}), ("script", {"script": "x"})):
        kind = rotators.get(name)
        assert not kind.overlaps(kind.parse(config))
        assert kind.overlaps(kind.parse({**config, "overlaps": True}))


def test_an_origin_that_is_none_stops_the_start() -> None:
    """It is found when the agent starts, not when a rotation is due."""
    settings = ServiceSettings(webhooks=("http://rotator.example",))
    with pytest.raises(SetupError):
        load_rotators(settings, FakeWorld())
