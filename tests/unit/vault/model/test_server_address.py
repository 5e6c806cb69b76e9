"""vault.model.server_address: one reading of a connection string, for every driver."""

import pytest

from vault.model.server_address import (
    RedisAddress,
    ServerAddress,
    parse_redis_address,
    parse_server_address,
)

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


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://r.example", RedisAddress(host="r.example", port=6379)),
        ("redis://r.example:6380/3", RedisAddress(host="r.example", port=6380)),
        (
            "rediss://a%40b:p%2F@[::1]/",
            RedisAddress(user="a@b", password="p/", host="::1", port=6379, tls=True),
        ),
        ("redis://:p@h", RedisAddress(password="p", host="h", port=6379)),
        ("unix:///run/redis%20one.sock", RedisAddress(socket="/run/redis one.sock")),
    ],
)
def test_where_redis_is(url: str, address: RedisAddress) -> None:
    """Decoded, with the default user and port."""
    assert parse_redis_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        f"http://ada:{PASSWORD}@h",
        f"redis://ada:{PASSWORD}@",
        f"redis://ada:{PASSWORD}@h:port",
        f"redis://ada:{PASSWORD}/x@h",
        f"redis://ada:{PASSWORD}@h/name",
        f"redis://ada:{PASSWORD}@h?ssl=1",
        f"redis://ada:{PASSWORD}@h#x",
        f"redis://ada:{PASSWORD}%0A@h",
        f"unix://{PASSWORD}/run/s",
        "unix:///",
        "",
    ],
)
def test_where_no_redis_is(url: str) -> None:
    """With what it has to be, and nothing of what it is."""
    with pytest.raises(ValueError, match="is none of redis://") as caught:
        parse_redis_address(url)
    assert PASSWORD not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_redis_for_people() -> None:
    """Neither user nor password."""
    assert repr(parse_redis_address(f"redis://ada:{PASSWORD}@h")) == "RedisAddress(h)"
