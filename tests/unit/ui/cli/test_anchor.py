"""Where an agent's anchor is."""

import json
from pathlib import Path

import pytest

from ui.cli.anchor import anchor_beside, anchor_of
from ui.cli.errors import CliError


def test_it_is_named_or_configured_or_not_known(tmp_path: Path) -> None:
    """The name wins; a configuration that cannot be used is told."""
    config = tmp_path / "vault.yaml"
    config.write_text(
        json.dumps(
            {
                "server": {"listen": "127.0.0.1:0", "tls": {"enabled": False}},
                "storage": {"connection_string": f"sqlite:///{tmp_path}/vault.db"},
                "anchor": {"file": str(tmp_path / "apart" / "a")},
            }
        )
    )
    assert anchor_of(config, None) == tmp_path / "apart" / "a"
    assert anchor_of(config, tmp_path / "b") == tmp_path / "b"
    assert anchor_of(None, None) is None
    with pytest.raises(CliError, match="cannot be read"):
        anchor_of(tmp_path / "nosuch", None)


def test_beside_the_log_it_is_found_by_its_name(tmp_path: Path) -> None:
    """If it is there."""
    log = tmp_path / "audit.log"
    assert anchor_beside(log) is None
    (tmp_path / "vault.anchor").touch()
    assert anchor_beside(log) == tmp_path / "vault.anchor"
