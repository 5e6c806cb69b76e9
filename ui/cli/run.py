"""`freehold run -- CMD`: start a program with secrets in its environment or in private files."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli.context import api_path, cli_context
from ui.cli.errors import CliError, CredentialError, Exit
from ui.cli.output import print_note
from ui.cli.values import Values

if TYPE_CHECKING:
    from ui.cli.client import ApiClient
    from ui.cli.program import Supervisor

TOKEN_VARIABLES: Final = (
    "FREEHOLD_TOKEN",
    "VAULT_TOKEN",
    "BAO_TOKEN",
)  # never handed to the program
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
_FILE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z", re.ASCII)
# Whoever writes a secret chooses the names of its keys, and too many names choose what code a
# program runs for a list of them. So of a whole secret only those keys become variables whose last
# part says that it is a credential, or where that is used.
_CREDENTIAL: Final = re.compile(
    "PASSWORD|PASSWD|PASS|PASSPHRASE|TOKEN|SECRET|KEY|USER|USERNAME|ID|PORT|DB|DATABASE"
)
_PLACE: Final = re.compile("URL|URI|DSN|HOST|CERT|CA")
# Other parts of the name of a place: code is fetched from it, or another program is sent there.
_FETCHES: Final = re.compile(
    "BAO|BUN|CDN|CONTAINER|DENO|DOCKER|DOWNLOAD|DRIVER|FREEHOLD|HEX|HOSTED|INDEX|KUBERNETES|MIRROR|"
    "NODE|NPM|PIP|PLUGIN|PROXY|REGISTRY|REPO|REPOSITORY|SSL|UV|VAULT|YARN"
)
_SHOWN: Final = 8  # keys in an error


def run(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="The program and its arguments.")],
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret",
            "-s",
            help="NAME#KEY[,KEY...]: these keys of a secret with an object value, each a variable. "
            "NAME alone: all keys, if each is called as credentials are.",
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", help="NAME=secret or NAME=secret#field; may be repeated."),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            help="NAME=secret or NAME=secret#field: a file of this name in the private folder "
            "FREEHOLD_SECRETS_DIR, which is in memory; may be repeated.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Restart or signal the program on changes.")
    ] = False,
    on_change: Annotated[
        str,
        typer.Option(help="With --watch: restart, or signal:NAME for a program that reads --file."),
    ] = "restart",
) -> None:
    """Run a program with secrets in its environment; our own token is not passed on.

    Without keys, --secret takes a whole secret if the last part of each key is one of PASSWORD,
    PASSWD, PASS, PASSPHRASE, TOKEN, SECRET, KEY, USER, USERNAME, ID, PORT, DB, DATABASE, URL, URI,
    DSN, HOST, CERT, CA (DB_PASSWORD, user): whoever writes the secret would otherwise choose what
    the program runs, by PATH or CFLAGS. A key that your own environment sets to something else has
    to be named, too.

    With --watch the program is restarted when a secret gets other values: it gets SIGTERM and 10 s
    to end. While the agent is away it runs on with the last values. Its exit code is passed on.
    """
    current = cli_context(context)
    wanted = _Wanted(tuple(secret or ()), tuple(env or ()), tuple(file or ()))
    if not (watch or wanted.files):
        _execute(command, dict(wanted.read(current.client).variables))
        return
    from ui.cli.follow import Follower, acknowledge, read_changes
    from ui.cli.program import OnChange, Supervisor  # not for those who only become a program

    change = OnChange.parse(on_change)
    if watch and change.signal and (wanted.secrets or wanted.env or not wanted.files):
        raise CliError(
            "a signal does not change the environment: use --file alone with --on-change signal",
            Exit.USAGE,
        )
    cursor = read_changes(current.client)["cursor"] if watch else ""
    values = wanted.read(current.client)

    def connect() -> "ApiClient":
        return current.client_of(current.address)

    def tell(versions: dict[str, int]) -> None:
        if watch:
            acknowledge(connect(), versions)

    supervisor = Supervisor(command, environment_without_tokens(), change, tell)
    follower = Follower(
        connect,
        lambda: list(values.versions),
        lambda client: _apply(supervisor, wanted, client),
    )
    if watch:
        follower.start(cursor)
    try:
        raise typer.Exit(supervisor.run(values))
    finally:
        follower.stop()


def _apply(supervisor: "Supervisor", wanted: "_Wanted", client: Any) -> None:
    """Read the values anew for the program; a secret that is gone leaves it as it is."""
    try:
        supervisor.apply(wanted.read(client))
    except CliError as error:
        passes = error.exit_code in {Exit.UNREACHABLE, Exit.BUSY, Exit.SEALED}
        if passes or isinstance(error, CredentialError):
            raise  # it is tried again
        print_note(f"freehold: the last values stay in use: {error}")


@dataclass(frozen=True)
class _Wanted:
    """What a program is to get, as the options say."""

    secrets: tuple[str, ...]
    env: tuple[str, ...]
    files: tuple[str, ...]

    def read(self, client: Any) -> Values:
        """The values of now. Raises `CliError`."""
        read = _Secrets(client)
        variables: dict[str, str] = {}
        for place in self.secrets:
            name, has_keys, keys = place.partition("#")
            named = keys.split(",") if has_keys else None
            if named is not None and "" in named:
                raise typer.BadParameter("--secret must look like NAME or NAME#KEY[,KEY...]")
            value = read.value(name)
            if not isinstance(value, dict):
                raise CliError(f"{name} is not an object; use --env NAME={name}")
            if named is None:
                _refuse_unnamed(name, value)
            for key in value if named is None else named:
                variables[key] = _text(_field(name, value, key))
        variables |= {name: _text(value) for name, value in _assigned(read, self.env, "--env")}
        if any(not _NAME.match(name) for name in variables):
            raise CliError("a key of the secret cannot name a variable; use --env NAME=secret#key")
        files = dict[str, bytes]()
        for name, value in _assigned(read, self.files, "--file"):
            if not _FILE.match(name):
                raise typer.BadParameter("the name of a --file is letters, digits, '.', '_', '-'")
            files[name] = (value if isinstance(value, str) else _text(value)).encode()
        return Values(variables, files, read.versions)


class _Secrets:
    """Reads each secret as often as it is named, and notes its version."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.versions: dict[str, int] = {}

    def value(self, name: str) -> Any:
        """Its value. Raises `CliError`."""
        answer = self._client.call("GET", api_path("secrets", name))
        self.versions[name] = answer.get("version", 0)
        return answer["value"]


def _assigned(
    read: _Secrets, assignments: tuple[str, ...], option: str
) -> Iterator[tuple[str, Any]]:
    for assignment in assignments:
        variable, sign, place = assignment.partition("=")
        if not sign:
            raise typer.BadParameter(f"{option} must look like NAME=secret or NAME=secret#field")
        name, _, field = place.partition("#")
        value = read.value(name)
        yield variable, _field(name, value, field) if field else value


def environment_without_tokens() -> dict[str, str]:
    """Our environment as a program gets it."""
    return {name: value for name, value in os.environ.items() if name not in TOKEN_VARIABLES}


def _execute(command: list[str], variables: dict[str, str]) -> None:
    program = shutil.which(command[0])  # by the caller's PATH, whatever the secrets hold
    if program is None:
        raise CliError(f"there is no program {command[0]}", Exit.NO_PROGRAM)
    try:
        os.execve(program, command, environment_without_tokens() | variables)  # noqa: S606  # what the person asked for
    except OSError as error:
        raise CliError(f"cannot run {command[0]}: {error.strerror}", Exit.CANNOT_RUN) from None


def _refuse_unnamed(secret: str, value: dict[str, Any]) -> None:
    """Raise `CliError` for a whole secret that has keys which a person has to name."""
    found = sorted(key for key in value if not _is_credential(key))
    why = "which is not what a credential is called and may choose what the program runs"
    if not found:
        texts = {key: _text(item) for key, item in value.items()}
        found = sorted(key for key in texts if os.environ.get(key, texts[key]) != texts[key])
        why = "which your environment sets to something else"
    if found:
        keys = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise CliError(
            f"{secret} has {keys}, {why}: name each key to use, as in --secret '{secret}#KEY,KEY'"
        )


def _is_credential(key: str) -> bool:
    """Whether a key is called as credentials are: `DB_PASSWORD`, `user`."""
    if not _NAME.match(key) or key.startswith("_"):
        return False
    *before, last = key.upper().split("_")
    if _PLACE.fullmatch(last):
        return not any(map(_FETCHES.fullmatch, before))
    return _CREDENTIAL.fullmatch(last) is not None


def _field(secret: str, value: Any, key: str) -> Any:
    if not isinstance(value, dict) or key not in value:
        raise CliError(f"{secret} has no field {key}", Exit.NOT_FOUND)
    return value[key]


def _text(value: Any) -> str:
    if isinstance(value, str):
        if "\0" in value:
            raise CliError("a value holds a NUL, which no environment variable can")
        return value
    import json

    return json.dumps(value)
