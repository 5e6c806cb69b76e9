"""vault.workers.worker: what a worker makes of the settings; acceptance tests run it as it is."""

import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from vault.config.settings import Storage
from vault.errors import UnavailableError
from vault.store.sqlite import SqliteBackend
from vault.workers.worker import reader_of


def test_a_read_waits_as_long_as_the_settings_say(tmp_path: Path) -> None:
    """For one of as many readers as they say: a worker is no more patient than the leader."""
    url = f"sqlite:///{tmp_path / 'vault.db'}"
    storage = Storage.model_validate(
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
