"""A password in a file of its own."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from vault.errors import UnavailableError


def bind_password(setting: str, file: Path | None) -> Callable[[], str] | None:
    """What reads the password at each call, so that a new one counts; None without a file."""
    return None if file is None else partial(_read_password, setting, file)


def _read_password(setting: str, file: Path) -> str:
    """The first line of the file. Raises `UnavailableError`."""
    try:
        password = file.read_text(encoding="utf-8").partition("\n")[0].removesuffix("\r")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UnavailableError(
            "store_unavailable", f"{setting}: {file} cannot be read: {why}"
        ) from None
    if not password or not password.isprintable():  # a driver would end its text there
        raise UnavailableError(
            "store_unavailable", f"{setting}: the first line of {file} is not a password"
        )
    return password
