"""The section `control_plane`: off by itself, and careful where it is on."""

from typing import Any

import pytest
from pydantic import ValidationError

from protocols.instant import SECOND
from vault.config.control_plane import ControlPlaneSettings

PIN = "sha256:" + "A" * 43


def test_an_agent_needs_no_control_plane() -> None:
    """Nothing is on by itself, and the design's interval is the default."""
    section = ControlPlaneSettings()
    assert (section.enabled, section.endpoint, section.pin) == (False, "", "")
    assert section.heartbeat_interval == 60 * SECOND
    assert section.allow_commands == ()


def test_the_seeds_keys_are_taken() -> None:
    """The design's section, as it stands there."""
    section = ControlPlaneSettings.model_validate(
        {
            "enabled": True,
            "endpoint": "https://control.keyvault.com/",
            "certificate_path": "/certs/client.crt",
            "private_key_path": "/certs/client.key",
            "heartbeat_interval": "60s",
        }
    )
    assert section.endpoint == "https://control.keyvault.com"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"endpoint": "http://control.test"}, "is not https"),
        ({"endpoint": "https://u@control.test"}, "is not https"),
        ({"endpoint": "https://control.test/path"}, "is not https"),
        ({"endpoint": "https://control.test:x"}, "is not https"),
        ({"pin": "sha256:short"}, "should match pattern"),
        ({"pin": PIN}, "no endpoint"),
        ({"endpoints": ["https://a.test", "b.test"]}, "is not https"),
        ({"certificate_path": "/a.crt"}, "or neither"),
        ({"heartbeat_interval": "2h"}, "between 1s and 1h"),
        ({"metrics_interval": "10ms"}, "between 1s and 1h"),
        ({"dead_after": "10ms"}, "between 1s and 5m"),
        ({"reconnect_within": "1h"}, "between 1s and 5m"),
        ({"allow_commands": ["run_shell"]}, "'rotate_kek'"),
        ({"outbox_size": "1KB"}, "greater than or equal to"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, Any], told: str) -> None:
    """Each with a word about what would."""
    with pytest.raises(ValidationError, match=told):
        ControlPlaneSettings.model_validate(values)
