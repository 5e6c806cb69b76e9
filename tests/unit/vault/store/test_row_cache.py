"""vault.store.row_cache: within its bound, and never older than what was acknowledged."""

import tracemalloc

import pytest

from tests.contract.store.samples import secret, system, user, version
from vault.errors import ValidationError
from vault.store.bounded_cache import EvictionPolicy
from vault.store.row_cache import ABSENT_SHARE, MISSING, CacheConfig, RowCache
from vault.store.tables import SECRETS, SYSTEM, USERS, VERSIONS

KEY = ("a",)


def test_three_answers() -> None:
    """A row, None for a row that does not exist, and MISSING for one that is not known."""
    cache = RowCache()
    assert cache.lookup(SYSTEM, KEY) is MISSING
    cache.apply_commit([(SYSTEM, KEY, None)])
    assert cache.lookup(SYSTEM, KEY) is None
    row = system("a")
    cache.apply_commit([(SYSTEM, KEY, row)])
    assert cache.lookup(SYSTEM, KEY) is row
    assert cache.lookup(SECRETS, KEY) is MISSING
    cache.apply_commit([(SYSTEM, KEY, None)])
    assert cache.lookup(SYSTEM, KEY) is None


def test_what_is_lacking_of_several() -> None:
    """What is not there, does not exist, or has another stamp; packed or not, however many."""
    cache = RowCache(CacheConfig(max_bytes=16 << 20))
    names = [f"{number:03}" for number in range(100)]
    cache.apply_commit([(SECRETS, (name,), secret(name, mac=name.encode())) for name in names])
    marks = [((name,), name.encode()) for name in names]
    assert cache.find_uncached(SECRETS, marks) == []
    for stamp in (b"", b"1", b"01", b"a01", b"1001"):
        assert cache.find_uncached(SECRETS, [(("001",), stamp)]) == [(("001",), stamp)]
    cache.apply_commit([(SECRETS, ("007",), None), (USERS, KEY, user("a", mac=b"m"))])
    other = [*marks[:50], (("050",), b"x"), *marks[50:], (("no",), b"no")]
    assert cache.find_uncached(SECRETS, other) == [marks[7], (("050",), b"x"), (("no",), b"no")]
    assert cache.find_uncached(USERS, [(KEY, b"m")]) == []
    assert cache.find_uncached(USERS, [(KEY, b"n"), (("b",), b"m")]) == [
        (KEY, b"n"),
        (("b",), b"m"),
    ]
    assert (cache.statistics().hits, cache.statistics().misses) == (0, 0)


def test_overtaken_load() -> None:
    """A load that began before a commit of its row is not kept, whatever it found."""
    new = system("a", b"new")
    for found in (system("a", b"old"), None):
        cache = RowCache()
        load = cache.begin_load(SYSTEM, KEY)
        cache.apply_commit([(SYSTEM, KEY, new)])
        cache.end_load(load, SYSTEM, found)
        assert cache.lookup(SYSTEM, KEY) is new


def test_overtaken_and_evicted() -> None:
    """Nor when the newer row is no longer there to compare with."""
    cache = RowCache()
    load = cache.begin_load(SYSTEM, KEY)
    cache.invalidate([(SYSTEM, KEY, None)])
    cache.end_load(load, SYSTEM, system("a", b"old"))
    assert cache.lookup(SYSTEM, KEY) is MISSING


def test_other_rows_do_not_overtake() -> None:
    """A commit of other rows does not spoil a load."""
    cache = RowCache()
    load = cache.begin_load(SYSTEM, KEY)
    cache.apply_commit([(SECRETS, KEY, secret("a")), (SYSTEM, ("b",), system("b"))])
    row = system("a")
    cache.end_load(load, SYSTEM, row)
    assert cache.lookup(SYSTEM, KEY) is row


def test_forget() -> None:
    """Forgotten rows, present or absent, have to be looked up."""
    cache = RowCache()
    cache.apply_commit([(SYSTEM, KEY, system("a")), (SYSTEM, ("b",), None)])
    cache.invalidate([(SYSTEM, KEY, None), (SYSTEM, ("b",), None), (SYSTEM, ("c",), None)])
    assert cache.lookup(SYSTEM, KEY) is MISSING
    assert cache.lookup(SYSTEM, ("b",)) is MISSING
    assert cache.statistics().bytes == 0


def test_an_epoch() -> None:
    """Ends with whatever may have changed a row, and with nothing else."""
    cache = RowCache()
    epoch = cache.change_token
    cache.end_load(cache.begin_load(SYSTEM, KEY), SYSTEM, system("a"))
    cache.end_load(cache.begin_load(SYSTEM, KEY), SYSTEM, MISSING)
    cache.lookup(SYSTEM, KEY)
    assert cache.change_token is epoch
    cache.apply_commit([(SYSTEM, KEY, system("a"))])
    replaced = cache.change_token
    assert replaced is not epoch
    cache.invalidate([(SYSTEM, KEY, None)])
    assert cache.change_token not in (epoch, replaced)


def test_least_recently_used_goes() -> None:
    """When it is full, the row that nobody asked for the longest makes room."""
    cache = RowCache(CacheConfig(max_bytes=40_000))
    for i in range(100):
        cache.apply_commit([(SYSTEM, (f"{i}",), system(f"{i}", b"x" * 1000))])
        assert cache.lookup(SYSTEM, ("0",)) is not MISSING
        cache.peek_rows(SYSTEM, [("1",)])  # which nobody asked for
        assert cache.statistics().bytes <= 40_000
    stats = cache.statistics()
    assert 15 < stats.entries < 40
    assert stats.evictions == 100 - stats.entries
    assert cache.lookup(SYSTEM, ("99",)) is not MISSING
    assert cache.lookup(SYSTEM, ("1",)) is MISSING


def test_oversized_row() -> None:
    """A row larger than the whole cache displaces nothing but its own former self."""
    cache = RowCache(CacheConfig(max_bytes=20_000))
    cache.apply_commit([(SYSTEM, KEY, system("a")), (SYSTEM, ("b",), system("b"))])
    cache.apply_commit([(SYSTEM, KEY, system("a", b"x" * 20_000))])
    assert cache.lookup(SYSTEM, KEY) is MISSING
    assert cache.lookup(SYSTEM, ("b",)) == system("b")


def test_guesses_displace_no_row() -> None:
    """Whoever asks for a million names that do not exist cannot empty the cache of rows."""
    cache = RowCache(CacheConfig(max_bytes=64_000))
    cache.apply_commit([(SYSTEM, KEY, system("a"))])
    for i in range(1000):
        cache.end_load(cache.begin_load(SYSTEM, (f"guess {i}",)), SYSTEM, None)
    assert cache.lookup(SYSTEM, KEY) == system("a")
    assert cache.statistics().bytes < 64_000 // ABSENT_SHARE + 2000


def test_zero_bytes() -> None:
    """A cache of no bytes holds nothing: the cache of a database that others write."""
    cache = RowCache(CacheConfig(max_bytes=0))
    cache.apply_commit([(SYSTEM, KEY, system("a")), (SYSTEM, ("b",), None)])
    cache.end_load(cache.begin_load(SYSTEM, KEY), SYSTEM, system("a"))
    assert cache.lookup(SYSTEM, KEY) is MISSING
    assert cache.lookup(SYSTEM, ("b",)) is MISSING


def test_what_nobody_waits_for_is_no_miss() -> None:
    """Rows that are loaded in advance count when they are asked for."""
    cache = RowCache()
    assert cache.statistics().hit_rate == 0
    cache.end_load(cache.begin_load(SYSTEM, KEY, counts_as_miss=False), SYSTEM, system("a"))
    assert cache.statistics().misses == 0
    for name in "abaa":
        if cache.lookup(SYSTEM, (name,)) is MISSING:
            cache.begin_load(SYSTEM, (name,))
    assert cache.statistics().hit_rate == 75


@pytest.mark.parametrize("ttl", [0, 10**18])
@pytest.mark.parametrize("policy", EvictionPolicy)
@pytest.mark.parametrize("box", [0, 100, 600, 3000, 30_000])
def test_bound_is_of_real_memory(policy: EvictionPolicy, ttl: int, box: int) -> None:
    """The bytes it counts are about those it takes, for heads, versions and absences."""
    bound = 4 * 2**20
    cache = RowCache(CacheConfig(max_bytes=bound, policy=policy, ttl=ttl))
    folder = "s" * (box // 10 % 400)
    tracemalloc.start()
    try:
        for i in range(3000):
            name = f"secret/{folder}/{i}"
            head = secret(name, tags=["a", f"b{i}"], metadata={f"k{i}": f"v{i}"})
            cache.apply_commit([(SECRETS, (head.name,), head)])
            row = version(f"id-{i}", 1, box=bytes(box + i % 100))
            cache.apply_commit([(VERSIONS, (row.secret_id, 1), row)])
            cache.apply_commit([(SECRETS, (f"secret/absent/{i}",), None)])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cache.statistics().evictions > 0
    assert 0.6 * bound < taken < 1.05 * bound


def test_a_load_that_cannot_be_kept_has_ended() -> None:
    """Whatever is wrong with its row: nothing waits for it."""
    cache = RowCache()
    load = cache.begin_load(SECRETS, KEY)
    with pytest.raises(ValidationError):
        cache.end_load(load, SECRETS, secret("\ud800"))
    assert not cache._loads
    assert cache.lookup(SECRETS, KEY) is MISSING


def test_all_is_forgotten() -> None:
    """Rows, absences, and what is on its way from the database."""
    cache = RowCache()
    cache.apply_commit([(SYSTEM, ("a",), system("a")), (SYSTEM, ("b",), None)])
    load, epoch = cache.begin_load(SYSTEM, ("c",)), cache.change_token
    cache.clear()
    cache.end_load(load, SYSTEM, system("c"))
    assert [cache.lookup(SYSTEM, (name,)) for name in "abc"] == [MISSING] * 3
    assert cache.change_token is not epoch
    assert cache.statistics().bytes == 0
