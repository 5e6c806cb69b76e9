"""vault.workers.worker: what a worker makes of the settings; acceptance tests run it as it is."""

import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.unit.vault.workers.pages import new_page
from vault.config.settings import StorageSettings
from vault.errors import UnavailableError
from vault.store.sqlite import SqliteBackend
from vault.workers.worker import Others, reader_of


def test_a_read_waits_as_long_as_the_settings_say(tmp_path: Path) -> None:
    """For one of as many readers as they say: a worker is no more patient than the leader."""
    url = f"sqlite:///{tmp_path / 'vault.db'}"
    storage = StorageSettings.model_validate(
        {"connection_string": SecretStr(url), "max_connections": 1, "connection_timeout": "1s"}
    )
    leader, reader = SqliteBackend(url), reader_of(storage)
    leader.open()
    reader.open()
    try:
        began = time.monotonic()
        with reader.read(), pytest.raises(UnavailableError), reader.read():
            pass
        assert 0.9 < time.monotonic() - began < 10
    finally:
        reader.close()
        leader.close()


def test_who_has_more_connections_gives_way() -> None:
    """By what is so now: one whose connections have ended is free before it is asked for more."""
    page = new_page()
    one, two = Others(page, 1, 2), Others(page, 2, 2)
    one.mine = lambda: 1
    assert one.are_freer()
    two.tell(16)
    assert not one.are_freer()
    two.tell(0)
    assert one.are_freer()
    one.mine = lambda: 0
    assert not one.are_freer()
