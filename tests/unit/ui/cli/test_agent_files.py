"""Where an agent's anchor and database are."""

import json
from pathlib import Path

import pytest

from ui.cli.agent_files import anchor_path, database_path, default_paths
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
    assert anchor_path(config, None) == tmp_path / "apart" / "a"
    assert anchor_path(config, tmp_path / "b") == tmp_path / "b"
    assert anchor_path(None, None) is database_path(None) is None
    assert database_path(config) == tmp_path / "vault.db"
    with pytest.raises(CliError, match="cannot be read"):
        anchor_path(tmp_path / "nosuch", None)


def test_beside_the_log_they_are_found_by_their_names(tmp_path: Path) -> None:
    """Each if it is there."""
    log = tmp_path / "audit.log"
    assert default_paths(log) == (None, None)
    (tmp_path / "vault.anchor").touch()
    assert default_paths(log) == (tmp_path / "vault.anchor", None)
    (tmp_path / "vault.db").touch()
    assert default_paths(log) == (tmp_path / "vault.anchor", tmp_path / "vault.db")
