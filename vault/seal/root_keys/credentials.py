"""The secret by which a key provider is used: of a file, a variable, or a systemd credential."""

import os
from pathlib import Path
from typing import Final

from vault.seal.root_keys.provider import KeyProviderError

_OTHERS: Final = 0o077
_CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"  # systemd.exec(5)


def read_credential(name: str, *, file: str = "", variable: str = "", credential: str = "") -> str:
    """The secret, from the first of the places that is given; `name` is for messages: "PIN".

    Raises `KeyProviderError`: it is not there, or others may read the file.
    """
    if variable:
        found = os.environ.get(variable, "")
        where = f"the environment variable {variable}"
    elif credential:  # systemd gives it a mode of its own
        where = str(Path(os.environ.get(_CREDENTIALS, "/"), credential))
        found, _ = _read_first_line(name, where)
    else:
        where = file
        found, mode = _read_first_line(name, where)
        if mode & _OTHERS:
            raise KeyProviderError(
                "key_provider_denied", f"others may read the {name} in {where}: chmod 600 on it"
            )
    if not found:
        raise KeyProviderError("key_provider_denied", f"there is no {name} in {where}")
    return found


def _read_first_line(name: str, path: str) -> tuple[str, int]:
    """The line, and the mode of the file. Raises `KeyProviderError`."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.readline().rstrip("\r\n"), os.fstat(file.fileno()).st_mode
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise KeyProviderError(
            "key_provider_denied", f"cannot read the {name} in {path}: {reason}"
        ) from None
