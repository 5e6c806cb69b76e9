"""The one source of randomness in `vault.crypto`."""

import os


def random_bytes(n: int) -> bytes:
    """`n` bytes from the operating system's generator.

    Blocks only before the kernel's pool is first seeded (getrandom(2)), so there is no state of
    ours to seed, fork or leak. Raises `OSError` if the kernel has no generator: never falls back.
    """
    return os.urandom(n)
