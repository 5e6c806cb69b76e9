"""Where the agent is and which token to use: options, then environment, then what `login` kept.

That is in the system's keyring where there is one, else in the token file. The file says which.

A token is never taken from the command line: other users of the machine can read that.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from protocols.settings import client_environment
from ui.cli.errors import CliError, Exit

DEFAULT_ADDRESS: Final = "https://127.0.0.1:8200"
DEFAULT_CONTROL_ADDRESS: Final = "http://127.0.0.1:8300"
VAULT_PREFIX: Final = "VAULT_"
"""What the variables of other clients of an agent begin with."""
TOKEN_FILE: Final = ".freehold-token"
CONTROL_TOKEN_FILE: Final = ".freehold-control-token"
IN_KEYRING: Final = "keyring:freehold"
"""In the token file: the token is in the system's keyring. So no command without a token there
loads what talks to a keyring."""
_OTHERS: Final = 0o077


@dataclass(frozen=True)
class ServerKind:
    """A kind of server in messages: its name, its variables' prefix, its login command.

    `foreign_error`: code and text of an error that only the other kind of server returns.
    """

    name: str
    prefix: str
    login: str
    foreign_error: tuple[str, str]


AGENT: Final = ServerKind(
    "agent",
    client_environment.AGENT_PREFIX,
    "freehold login",
    ("not_found", "there is no such path"),
)
CONTROL_PLANE: Final = ServerKind(
    "control plane",
    client_environment.CONTROL_PREFIX,
    "freehold fleet login",
    ("route_not_found", "there is no such path in this API"),
)


@dataclass(frozen=True, repr=False)
class ConnectionSettings:
    """How to reach the agent. `ca_file` empty: the system's trust store.

    `variable`: the one that the token is of, which wins over any that is kept. `kept`: where the
    token is, for people; empty for none.
    """

    address: str
    token: str
    ca_file: str
    client_cert: str
    client_key: str
    peer: ServerKind = AGENT
    variable: str = ""
    kept: str = ""

    @classmethod
    def for_control_plane(cls, address: str | None = None) -> "ConnectionSettings":
        """As `from_environment`, for a control plane: FREEHOLD_CONTROL_*. Raises `CliError`."""
        variable = token_variable(CONTROL_PLANE)
        token = os.environ[variable] if variable else stored_token(CONTROL_PLANE)
        return replace(cls.for_control_plane_login(address), token=token, variable=variable)

    @classmethod
    def for_control_plane_login(cls, address: str | None = None) -> "ConnectionSettings":
        """As `for_control_plane`, with no token: to sign in, or out of the session that is kept."""
        told = {
            name: os.environ.get(CONTROL_PLANE.prefix + name, "")
            for name in client_environment.NAMES
        }
        return cls(
            address=(address or told["ADDR"] or DEFAULT_CONTROL_ADDRESS).rstrip("/"),
            token="",
            ca_file=told["CACERT"],
            client_cert=told["CLIENT_CERT"],
            client_key=told["CLIENT_KEY"],
            peer=CONTROL_PLANE,
        )

    @classmethod
    def from_environment(
        cls, address: str | None = None, *, use_stored: bool = True
    ) -> "ConnectionSettings":
        """Read FREEHOLD_* and, where those are absent, the VAULT_* that other clients use.

        `use_stored`: without a token in either, use the one that `freehold login` stored.
        Raises `CliError`.
        """
        where = (address or _first("ADDR") or DEFAULT_ADDRESS).rstrip("/")
        token, variable = _first("TOKEN"), token_variable(AGENT)
        kept = f"the variable {variable}" if variable else ""
        if not token and use_stored:
            token, kept = find_stored_token(where)
        return cls(
            address=where,
            token=token,
            ca_file=_first("CACERT"),
            client_cert=_first("CLIENT_CERT"),
            client_key=_first("CLIENT_KEY"),
            variable=variable,
            kept=kept,
        )


def token_variable(peer: ServerKind) -> str:
    """The variable that a token for this peer is in; empty where none has one."""
    names = [peer.prefix + "TOKEN", *([VAULT_PREFIX + "TOKEN"] if peer is AGENT else [])]
    return next((name for name in names if os.environ.get(name)), "")


def token_path(peer: ServerKind = AGENT) -> Path:
    """Where `freehold login` keeps the token."""
    return Path.home() / (TOKEN_FILE if peer is AGENT else CONTROL_TOKEN_FILE)


def save_token(token: str, peer: ServerKind = AGENT) -> None:
    """Keep a token for later commands, readable by its owner only whatever the umask is."""
    path = token_path(peer)
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            file.write(token)
    except OSError as error:
        raise CliError(f"cannot keep the token in {path}: {error.strerror}") from None


def delete_token(peer: ServerKind = AGENT) -> None:
    """Remove the kept token, if there is one."""
    path = token_path(peer)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CliError(f"cannot remove {path}: {error.strerror}") from None


def _first(name: str) -> str:
    return os.environ.get(AGENT.prefix + name) or os.environ.get(VAULT_PREFIX + name) or ""


def stored_token(peer: ServerKind = AGENT) -> str:
    """What `login` kept, empty if nothing. Raises `CliError`."""
    path = token_path(peer)
    try:
        if path.stat().st_mode & _OTHERS:
            raise CliError(f"{path} can be read by others: chmod 600 it", Exit.DENIED)
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        raise CliError(f"cannot read {path}; remove it and `{peer.login}` again") from None


def find_stored_token(address: str) -> tuple[str, str]:
    """The token that `freehold login` kept for an agent, and where it is; both empty for none.

    Raises `CliError`.
    """
    token = stored_token()
    if token != IN_KEYRING:  # not secret: the mark is a constant
        return token, str(token_path()) if token else ""
    from ui.cli.keyring_store import find_keyring

    keyring = find_keyring()
    if keyring is None:
        raise CliError(
            f"the token is in the system's keyring, which cannot be reached here: `{AGENT.login} "
            "--no-keyring` keeps another one in a file",
            Exit.DENIED,
        )
    token = keyring.load(address)
    return token, "the system's keyring" if token else ""


def keep_token(token: str, address: str, *, in_keyring: bool = True) -> str:
    """Keep an agent's token in the system's keyring, else in the token file; returns where.

    `in_keyring` False: in the file at any rate. Raises `CliError`.
    """
    if in_keyring:
        from ui.cli.keyring_store import find_keyring

        keyring = find_keyring()
        if keyring is not None:
            keyring.save(address, token)
            save_token(IN_KEYRING)
            return "the system's keyring"
    save_token(token)
    return str(token_path())


def forget_token(address: str) -> None:
    """Remove what `freehold login` kept for an agent. Raises `CliError`."""
    try:
        in_keyring = stored_token() == IN_KEYRING  # not secret: the mark is a constant
    except CliError:  # a file that cannot be read goes
        in_keyring = False
    if not in_keyring:
        delete_token()
        return
    from ui.cli.keyring_store import find_keyring

    keyring = find_keyring()
    if keyring is not None:
        keyring.delete(address)
