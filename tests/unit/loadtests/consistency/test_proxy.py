"""The proxy knows queries of the change feed, prepared or not."""

from loadtests.consistency.proxy import FeedQueries

TEXT = b"SELECT changes.seq FROM changes WHERE changes.seq > $1"


def parse(name: bytes, text: bytes) -> bytes:
    """PostgreSQL's message that prepares a statement."""
    return b"P\0\0\0\x40" + name + b"\0" + text + b"\0\0\0"


def bind(name: bytes) -> bytes:
    """PostgreSQL's message that runs it."""
    return b"B\0\0\0\x10\0" + name + b"\0\0\0\0\0"


def test_text_of_a_query() -> None:
    """As PyMySQL sends all, and psycopg the first ones."""
    assert FeedQueries().are_in(b"\x20\0\0\0\x03SELECT seq FROM changes WHERE seq > 1")
    assert FeedQueries().are_in(parse(b"", TEXT))
    assert not FeedQueries().are_in(b"SELECT value FROM system")
    assert not FeedQueries().are_in(b"SELECT 1 FROM changes_of_others")


def test_prepared_query() -> None:
    """By its name, which another connection has for something else."""
    feed = FeedQueries()
    assert not feed.are_in(bind(b"_pg3_1"))
    assert feed.are_in(parse(b"_pg3_1", TEXT))
    assert feed.are_in(bind(b"_pg3_1"))
    assert not feed.are_in(bind(b"_pg3_2"))
    assert not FeedQueries().are_in(bind(b"_pg3_1"))
