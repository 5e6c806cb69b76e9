"""Settings for a developer, and the environment's name."""

from pathlib import Path

import pytest

from control.config.load import ConfigError, dev_settings, load_settings
from protocols.settings.client_environment import NAMES
from tests.unit.control.config.test_settings import GOOD


def test_development_is_on_loopback(tmp_path: Path) -> None:
    """Everything in one folder."""
    settings = dev_settings("127.0.0.1:0", tmp_path)
    assert str(tmp_path) in settings.database.url.get_secret_value()
    with pytest.raises(ConfigError):
        dev_settings("0.0.0.0:0", tmp_path)


def test_the_environment_wins(tmp_path: Path) -> None:
    """By its own prefix."""
    file = tmp_path / "c.yaml"
    file.write_text(GOOD)
    found = load_settings(file, {"FREEHOLD_CONTROL_PRESENCE__HEARTBEAT": "5s"})
    assert found.presence.heartbeat == 5 * 10**9


def test_what_commands_read_is_no_setting(tmp_path: Path) -> None:
    """Who has signed in in this shell starts it all the same; a name beside those is an error."""
    file = tmp_path / "c.yaml"
    file.write_text(GOOD)
    mine = {f"FREEHOLD_CONTROL_{name}": "x" for name in NAMES}
    assert load_settings(file, mine) == load_settings(file, {})
    with pytest.raises(ConfigError, match="FREEHOLD_CONTROL_ADDRESS: address: is not a key"):
        load_settings(file, mine | {"FREEHOLD_CONTROL_ADDRESS": "x"})


def test_a_wrong_option_is_told_by_its_own_name(tmp_path: Path) -> None:
    """Not as a fault of the address."""
    for given, option in ((("x", "5m"), "--heartbeat"), (("1m", "x"), "--offline-after"),
                          (("1m", "1m"), "--offline-after")):  # fmt: skip
        with pytest.raises(ConfigError, match=f"^{option}: ") as caught:
            dev_settings("127.0.0.1:0", tmp_path, given)
        assert len(caught.value.faults) == 1
