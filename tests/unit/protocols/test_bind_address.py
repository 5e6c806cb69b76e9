"""Addresses that cannot be bound."""

import errno
import socket

import pytest

from protocols.bind_address import format_address, name_bind_errors


def test_an_error_names_the_address_that_was_to_be_bound() -> None:
    """Its kind and number are those of the system."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use") as caught, name_bind_errors("127.0.0.1", port):
            socket.create_server(("127.0.0.1", port)).close()
    assert (caught.value.errno, caught.value.filename) == (errno.EADDRINUSE, f"127.0.0.1:{port}")
    with pytest.raises(PermissionError, match=r"\[::1\]:80"), name_bind_errors("::1", 80):
        raise PermissionError(errno.EACCES, "denied")
    with pytest.raises(OSError, match=r"^no number$"), name_bind_errors("h", 1):
        raise OSError("no number")


def test_an_address_is_written_so_that_its_port_can_be_told() -> None:
    """Brackets are for what has colons of its own."""
    assert (format_address("::", 1), format_address("h", 2)) == ("[::]:1", "h:2")
