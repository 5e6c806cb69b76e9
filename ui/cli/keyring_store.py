"""The system's keyring: where `freehold login` keeps its token, if there is one.

That is the Secret Service of a desktop (GNOME Keyring, KWallet, KeePassXC), the keychain of macOS
or the credential manager of Windows. Nothing else counts: other backends of the `keyring` library
write a file that anybody who has the disk can read, and a token file of our own is better than
that. Each agent's address has an entry of its own.
"""

from typing import Final, Protocol

from ui.cli.errors import CliError, Exit

SERVICE: Final = "freehold"
_TRUSTED: Final = (
    "keyring.backends.SecretService",
    "keyring.backends.libsecret",
    "keyring.backends.kwallet",
    "keyring.backends.macOS",
    "keyring.backends.Windows",
)


class KeyringBackend(Protocol):
    """What is used of a backend of the `keyring` library."""

    def get_password(self, service: str, username: str) -> str | None:
        """The secret, or None."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a secret."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Remove a secret; raises when there is none."""
        ...


class KeyringStore:
    """The tokens of agents in a keyring, by address. Raises `CliError` where it cannot be used."""

    def __init__(self, backend: KeyringBackend) -> None:
        self._backend = backend

    def load(self, address: str) -> str:
        """The token for an agent; empty for none."""
        try:
            return self._backend.get_password(SERVICE, address) or ""
        except Exception as error:  # noqa: BLE001  # whatever a backend raises, D-Bus errors too
            raise _unusable("read", error) from None

    def save(self, address: str, token: str) -> None:
        """Keep the token for an agent, in the place of the one before."""
        try:
            self._backend.set_password(SERVICE, address, token)
        except Exception as error:  # noqa: BLE001  # as above
            raise _unusable("written", error) from None

    def delete(self, address: str) -> None:
        """Remove the token for an agent, if there is one."""
        if not self.load(address):
            return
        try:
            self._backend.delete_password(SERVICE, address)
        except Exception as error:  # noqa: BLE001  # as above
            raise _unusable("changed", error) from None


def find_keyring() -> KeyringStore | None:
    """The keyring of this system; None without one, or without the `keyring` library."""
    try:
        import keyring
        from keyring.backends.chainer import ChainerBackend
    except ImportError:
        return None
    try:
        chosen = keyring.get_keyring()
        found = chosen.backends if isinstance(chosen, ChainerBackend) else [chosen]
    except Exception:  # noqa: BLE001  # a backend that cannot be loaded is none
        return None
    for backend in found:
        if is_trusted(backend):
            return KeyringStore(backend)
    return None


def is_trusted(backend: object) -> bool:
    """Whether a backend is a keyring of the system, and no file."""
    return type(backend).__module__ in _TRUSTED


def _unusable(what: str, error: Exception) -> CliError:
    return CliError(
        f"the system's keyring cannot be {what} ({type(error).__name__}): unlock it, or use "
        "`freehold login --no-keyring`",
        Exit.DENIED,
    )
