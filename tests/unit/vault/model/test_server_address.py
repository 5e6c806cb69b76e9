"""vault.model.server_address: one reading of a connection string, for every driver."""

import pytest

from vault.model.server_address import ServerAddress, parse_server_address

PASSWORD = "hunter2"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "postgresql://ada@db.example/vault",
            ServerAddress(
                kind="postgresql", user="ada", host="db.example", port=5432, database="vault"
            ),
        ),
        (
            "mysql://a%40b:p%2F%3A%3F%23%25@[::1]:3307/v%20v",
            ServerAddress(
                kind="mysql", user="a@b", password="p/:?#%", host="::1", port=3307, database="v v"
            ),
        ),
        (
            "postgresql://ada@/vault?socket=%2Fvar%2Frun%2Fpostgresql",
            ServerAddress(
                kind="postgresql", user="ada", socket="/var/run/postgresql", database="vault"
            ),
        ),
    ],
)
def test_parts(url: str, address: ServerAddress) -> None:
    """Decoded, with the port of the kind unless it says another one."""
    found = parse_server_address(url, address.kind)
    assert found == address
    assert found.password == address.password


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"mysql://ada:{PASSWORD}@h/v", "is not of the form postgresql://"),
        (f"postgresql+psycopg://ada:{PASSWORD}@h/v", "is not of the form"),
        (f"postgresql://ada:{PASSWORD}@h", "is not of the form"),
        (f"postgresql://ada:{PASSWORD}@h/", "is not of the form"),
        (f"postgresql://ada:{PASSWORD}@h/v/w", "is not of the form"),
        (f"postgresql://ada:{PASSWORD}@h/v#w", "is not of the form"),
        (f"postgresql://ada:{PASSWORD}@/v", "is not of the form"),
        (f"postgresql://ada:{PASSWORD}@h:port/v", "is not of the form"),
        (f"postgresql://ada:{PASSWORD}/x@h/v", "write @ : / ? # as"),
        (f"postgresql://ada:{PASSWORD}[@h/v", "is not of the form"),
        (f"postgresql://:{PASSWORD}@h/v", "names no user"),
        ("postgresql://h/v", "names no user"),
        (f"postgresql://ada:{PASSWORD}@h/v?sslmode=disable", "takes no option but socket"),
        (f"postgresql://ada:{PASSWORD}@h/v?socket=/tmp", "socket=/PATH"),
        (f"postgresql://ada:{PASSWORD}@/v?socket=tmp", "is not an absolute path"),
        (f"postgresql://ada:{PASSWORD}@/v?socket=", "is not an absolute path"),
        (f"postgresql://ada%00:{PASSWORD}@h/v", "has a control character"),
        (f"postgresql://ada:{PASSWORD}%00@h/v", "has a control character"),
        (f"postgresql://ada:{PASSWORD}@h/v%0A", "has a control character"),
        (f"postgresql://ada:{PASSWORD}@h\t/v", "has a control character"),
        ("", "is not of the form"),
    ],
)
def test_refused(url: str, says: str) -> None:
    """With what it has to be, and nothing of what it is."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the text is looked at
        parse_server_address(url, "postgresql")
    assert says in str(caught.value)
    assert PASSWORD not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url", [f"mysql://ada:{PASSWORD}@db/v", f"mysql://ada:{PASSWORD}@/v?socket=/run/s"]
)
def test_for_people(url: str) -> None:
    """Neither text nor repr has a user or a password."""
    address = parse_server_address(url, "mysql")
    for text in (str(address), repr(address), f"{address}"):
        assert "mysql database v at" in text
        assert "ada" not in text
        assert PASSWORD not in text


@pytest.mark.parametrize(
    ("place", "local"),
    [
        ("localhost/v", True),
        ("LOCALHOST/v", True),
        ("127.0.0.1/v", True),
        ("[::1]/v", True),
        ("/v?socket=/run/s", True),
        ("localhost.example/v", False),
        ("localhost,db.example/v", False),
        ("127.0.0.1.example/v", False),
        ("0.0.0.0/v", False),
        ("[::]/v", False),
    ],
)
def test_local(place: str, *, local: bool) -> None:
    """Only what never leaves the machine may go without TLS."""
    assert parse_server_address(f"postgresql://ada@{place}", "postgresql").is_local is local
