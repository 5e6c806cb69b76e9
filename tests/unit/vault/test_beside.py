"""vault.beside: an agent of one process."""

from vault.authn.lockout import Lockout
from vault.authz.rate_limits import TokenBuckets
from vault.beside import ALONE
from vault.store.row_cache import CacheConfig


class Mark:
    """A store's mark."""

    def stamp(self, _batch: object) -> None:
        """Nothing."""

    def on_durable(self) -> None:
        """Nothing."""


async def test_nobody_is_told() -> None:
    """Cache, mark and counts are those of the process alone."""
    config, mark = CacheConfig(max_bytes=1), Mark()
    assert ALONE.fenced(mark, config) == (config, mark)
    assert type(ALONE.lockout()) is Lockout
    assert type(ALONE.buckets(1, 1)) is TokenBuckets
    async with ALONE.opened(None):  # type: ignore[arg-type]  # nobody looks at it
        assert True
