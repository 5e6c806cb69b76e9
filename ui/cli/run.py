"""`freehold run -- CMD`: start a program with secrets in its environment, and nowhere else."""

import os
import re
import shutil
from typing import Annotated, Any, Final

import typer

from ui.cli.context import api_path, cli_context
from ui.cli.errors import CliError, Exit

TOKEN_VARIABLES: Final = (
    "FREEHOLD_TOKEN",
    "VAULT_TOKEN",
    "BAO_TOKEN",
)  # never handed to the program
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)
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
) -> None:
    """Run a program with secrets in its environment; our own token is not passed on.

    Without keys, --secret takes a whole secret if the last part of each key is one of PASSWORD,
    PASSWD, PASS, PASSPHRASE, TOKEN, SECRET, KEY, USER, USERNAME, ID, PORT, DB, DATABASE, URL, URI,
    DSN, HOST, CERT, CA (DB_PASSWORD, user): whoever writes the secret would otherwise choose what
    the program runs, by PATH or CFLAGS. A key that your own environment sets to something else has
    to be named, too.
    """
    client = cli_context(context).client
    variables: dict[str, str] = {}
    for place in secret or []:
        name, has_keys, keys = place.partition("#")
        named = keys.split(",") if has_keys else None
        if named is not None and "" in named:
            raise typer.BadParameter("--secret must look like NAME or NAME#KEY[,KEY...]")
        value = _value(client, name)
        if not isinstance(value, dict):
            raise CliError(f"{name} is not an object; use --env NAME={name}")
        if named is None:
            _refuse_unnamed(name, value)
        for key in value if named is None else named:
            variables[key] = _text(_field(name, value, key))
    for assignment in env or []:
        variable, sign, place = assignment.partition("=")
        if not sign:
            raise typer.BadParameter("--env must look like NAME=secret or NAME=secret#field")
        name, _, field = place.partition("#")
        value = _value(client, name)
        variables[variable] = _text(_field(name, value, field) if field else value)
    _execute(command, variables)


def _execute(command: list[str], variables: dict[str, str]) -> None:
    if any(not _NAME.match(name) for name in variables):
        raise CliError("a key of the secret cannot name a variable; use --env NAME=secret#key")
    program = shutil.which(command[0])  # by the caller's PATH, whatever the secrets hold
    if program is None:
        raise CliError(f"there is no program {command[0]}", Exit.NO_PROGRAM)
    kept = {name: value for name, value in os.environ.items() if name not in TOKEN_VARIABLES}
    try:
        os.execve(program, command, kept | variables)  # noqa: S606  # what the person asked for
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


def _value(client: Any, name: str) -> Any:
    return client.call("GET", api_path("secrets", name))["value"]


def _text(value: Any) -> str:
    if isinstance(value, str):
        if "\0" in value:
            raise CliError("a value holds a NUL, which no environment variable can")
        return value
    import json

    return json.dumps(value)
