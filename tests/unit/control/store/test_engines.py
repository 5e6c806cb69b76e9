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


HUNTER = "hun", "ter2"  # both halves of a password that nobody escaped


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("u:hun/ter2@127.0.0.1:1/db", "127.0.0.1:1"),
        ("u:hun@ter2@h.invalid:1/db", "h.invalid:1"),
        ("u:x@hun,ter2@h.invalid:1/db", "h.invalid:1"),
        ("u:[hunter2\u2100@h.invalid/db", "h.invalid:5432"),
        ("u:hun?ter2@h.invalid/db", ""),
        ("u:hun@ter2/x@h.invalid/db", ""),
        ("u:hun@ter2?x@h.invalid/db", ""),
        ("h:1/db?password=hun@ter2", ""),
        ("u:hunter2@h/db?password=hunter2", "h:5432"),
        ("u:hunter2@[::1]:1/db", "[::1]:1"),
        ("u:hunter2@h1,h2:1/db", "h1:1, h2:1"),
        ("u:hunter2@/db?host=h1:1&host=h2", "h1:1, h2:5432"),
        ("/db?host=/run/pg&password=hunter2", "/run/pg:5432"),
        ("u:hunter2@/db", "this machine's own socket:5432"),
    ],
)
def test_where_a_postgresql_is_has_nothing_of_its_password(given: str, place: str) -> None:
    """It is read as the driver is given it; where a password may pass for a host it is not told."""
    engines = open_engines(f"postgresql://{given}")
    engines.close()
    assert engines.location == place
    assert not any(half in engines.location for half in HUNTER)


@pytest.mark.parametrize(
    "given",
    [
        "u:p@h:hunter2/db",
        "u:p@hunter2:x@h/db",
        "u:p@h1:1,h2:hunter2/db",
        "/db?host=hunter2:1&host=h2:2&port=9",
    ],
)
def test_an_address_that_cannot_be_read_is_not_quoted(given: str) -> None:
    """What it has for a port may be a piece of the password."""
    with pytest.raises(ValidationError, match=r"storage_invalid: .* %40") as refused:
        open_engines(f"postgresql://{given}")
    assert "hunter2" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_sqlite_is_for_one_process_and_its_owner(tmp_path: Path) -> None:
    """Mode 0600, write-through, and locked."""
    url = f"sqlite:///{tmp_path}/d/control.db"
    engines = open_engines(url)
    with engines.writes.connect() as connection:
        engines.verify_durability(connection)
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA synchronous=NORMAL")
        with pytest.raises(UnavailableError, match="store_unsafe"):
            engines.verify_durability(connection)
    with pytest.raises(UnavailableError, match="store_locked"):
        open_engines(url)
    assert (tmp_path / "d" / "control.db").stat().st_mode & 0o777 == 0o600
    engines.close()
    open_engines(url).close()
