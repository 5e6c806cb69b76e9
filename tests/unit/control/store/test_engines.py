"""What is no durable database is refused."""

from pathlib import Path

import pytest

from control.errors import UnavailableError, ValidationError
from control.store.engines import open_engines


@pytest.mark.parametrize(
    "url", ["", "mysql://h/d", "sqlite:///relative", "sqlite:////x?synchronous=off", "sqlite://h/x"]
)
def test_unknown_urls(url: str) -> None:
    """With a typed error."""
    with pytest.raises(ValidationError, match="storage_invalid"):
        open_engines(url)


def test_sqlite_is_for_one_process_and_its_owner(tmp_path: Path) -> None:
    """Mode 0600, write-through, and locked."""
    url = f"sqlite:///{tmp_path}/d/control.db"
    engines = open_engines(url)
    with engines.writes.connect() as connection:
        engines.verify(connection)
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA synchronous=NORMAL")
        with pytest.raises(UnavailableError, match="store_unsafe"):
            engines.verify(connection)
    with pytest.raises(UnavailableError, match="store_locked"):
        open_engines(url)
    assert (tmp_path / "d" / "control.db").stat().st_mode & 0o777 == 0o600
    engines.close()
    open_engines(url).close()
