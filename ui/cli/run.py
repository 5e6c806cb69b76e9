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
# Names that can choose what code a program loads or starts, whom it trusts, or where it sends what
# it knows. Such a list is never complete: where the writers of a secret are trusted less than the
# program, `--env` names each variable.
_PREFIXES: Final = (
    *("LD_", "DYLD_", "GCONV_", "MALLOC_", "GLIBC_", "LIBMYSQL_", "OPENSSL_", "ODBC", "SASL_"),
    *("GTK_", "QT_", "GIO_", "GDK_", "GST_", "BASH_", "PYTHON", "PERL", "RUBY", "LUA_", "TCL"),
    *("GUILE_", "JULIA_", "ERL_", "ELIXIR_", "CAML_", "PHP_", "R_PROFILE", "R_ENVIRON"),
    *("DOTNET_", "CORECLR_", "COR_", "ELECTRON_", "DENO_", "BUN_", "NPM_CONFIG_", "PIP_", "UV_"),
    *("POETRY_", "CONDA_", "BUNDLE_", "GEM_", "CARGO_", "RUSTC_", "GUNICORN_", "UVICORN_"),
    *("HYPERCORN_", "CELERY_", "PYTEST_", "TOX_", "ANSIBLE_", "GIT_", "SVN_", "HGRC", "CVS_"),
    *("RSYNC_", "TAR_", "MAKE", "SUDO_", "SYSTEMD_", "XDG_", "KUBE_"),
    *("LESSKEY", "FZF_", "KRB5", "SSL_CERT_", "SSLKEYLOG", "NODE_TLS_", "NODE_EXTRA_", "TF_CLI_"),
    *("PGSERVICE", "GOCACHE", "GOPROXY", "R_LIBS", "FREEHOLD_", "VAULT_", "BAO_"),
)
_SUFFIXES: Final = (
    *("_EDITOR", "_PAGER", "_BROWSER", "_ASKPASS", "_RSH", "_WRAPPER", "_CONFIG_PATH"),
    *("JAVA_OPTIONS", "JAVA_OPTS", "JAVA_TOOL_OPTIONS", "MAVEN_OPTS", "GRADLE_OPTS"),
    *("_OPTS", "_OPTIONS", "_COMMAND", "_CA_BUNDLE", "_CA_CERTS", "_CA_FILE", "_PROXY"),
)
_NAMES: Final = frozenset(
    (
        *("PATH", "HOME", "SHELL", "ENV", "IFS", "CDPATH", "PROMPT_COMMAND", "SHELLOPTS"),
        *("BASHOPTS", "ZDOTDIR", "FPATH", "PS0", "PS1", "PS2", "PS3", "PS4", "LIBPATH"),
        *("SHLIB_PATH", "LOCPATH", "NLSPATH", "HOSTALIASES", "RES_OPTIONS", "TERMINFO", "TERMCAP"),
        *(
            "CLASSPATH",
            "JAVA_HOME",
            "PSMODULEPATH",
            "NODE_OPTIONS",
            "NODE_PATH",
            "PHPRC",
            "GOFLAGS",
        ),
        *("GOROOT", "GOPATH", "GOENV", "GOTOOLCHAIN", "GNUMAKEFLAGS", "CC", "CXX", "LD", "AR"),
        *(
            "DJANGO_SETTINGS_MODULE",
            "FLASK_APP",
            "EDITOR",
            "VISUAL",
            "PAGER",
            "MANPAGER",
            "BROWSER",
        ),
        *("LESS", "LESSOPEN", "LESSCLOSE", "VIMINIT", "EXINIT", "MYVIMRC", "PSQLRC", "INPUTRC"),
        *("KUBECONFIG", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "DOCKER_CONFIG"),
        *("DOCKER_HOST", "SSH_ASKPASS", "CURL_HOME", "WGETRC", "TERRAFORM_CONFIG"),
        *("AWKPATH", "AWKLIBPATH"),
    )
)


def run(
    context: typer.Context,
    command: Annotated[list[str], typer.Argument(help="The program and its arguments.")],
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret", "-s", help="A secret with an object value: each key is a variable."
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("--env", "-e", help="NAME=secret or NAME=secret#field; may be repeated."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="A key of --secret to accept although it can choose what code runs, such as PATH, "
            "or is set already."
        ),
    ] = None,
) -> None:
    """Run a program with secrets in its environment; our own token is not passed on.

    A key of --secret that can choose what code runs (PATH, LD_PRELOAD, PYTHONPATH, ...) is refused
    unless --allow names it: whoever writes the secret would choose the program. So is one that your
    own environment sets to something else.
    """
    client = cli_context(context).client
    variables: dict[str, str] = {}
    for name in secret or []:
        value = _value(client, name)
        if not isinstance(value, dict):
            raise CliError(f"{name} is not an object; use --env NAME={name}")
        _refuse_dangerous_names(name, value, allow or [])
        variables |= {key: _text(item) for key, item in value.items()}
    for assignment in env or []:
        variable, sign, place = assignment.partition("=")
        if not sign:
            raise typer.BadParameter("--env must look like NAME=secret or NAME=secret#field")
        name, _, field = place.partition("#")
        value = _value(client, name)
        if field:
            if not isinstance(value, dict) or field not in value:
                raise CliError(f"{name} has no field {field}", Exit.NOT_FOUND)
            value = value[field]
        variables[variable] = _text(value)
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


def _refuse_dangerous_names(secret: str, value: dict[str, Any], allowed: list[str]) -> None:
    found = sorted(key for key in value if _can_alter_program(key) and key not in allowed)
    if found:
        raise CliError(
            f"{secret} has the key {found[0]}, which can choose what code the program runs: "
            f"pass --allow {found[0]} if that is intended, or name the keys to use with --env"
        )
    changed = sorted(
        key
        for key, item in value.items()
        if os.environ.get(key, _text(item)) != _text(item) and key not in allowed
    )
    if changed:
        raise CliError(
            f"{secret} has the key {changed[0]}, which your environment sets to something else: "
            f"pass --allow {changed[0]} to take the secret's, or unset it"
        )


def _can_alter_program(key: str) -> bool:
    name = key.upper()
    return name in _NAMES or name.startswith(_PREFIXES) or name.endswith(_SUFFIXES)


def _value(client: Any, name: str) -> Any:
    return client.call("GET", api_path("secrets", name))["value"]


def _text(value: Any) -> str:
    if isinstance(value, str):
        if "\0" in value:
            raise CliError("a value holds a NUL, which no environment variable can")
        return value
    import json

    return json.dumps(value)
