"""What an address that cannot be bound says: the system's error does not name it."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def name_bind_errors(host: str, port: int) -> Iterator[None]:
    """Whatever `OSError` is raised in the block has the address as its `filename`."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, format_address(host, port)) from error


def format_address(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
