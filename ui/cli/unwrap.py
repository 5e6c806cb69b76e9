"""`freehold unwrap`: the answer behind a token, once."""

import sys
from typing import Annotated

import typer

from ui.cli.context import api_path, cli_context


def unwrap(
    context: typer.Context,
    token: Annotated[str, typer.Argument(help="The wrapping token; -: from stdin.")],
    keep: Annotated[
        bool, typer.Option("--lookup", help="Say what it stands for, and do not use it.")
    ] = False,
) -> None:
    """Show the answer behind a wrapping token. It works once: the token ends with it."""
    current = cli_context(context)
    text = sys.stdin.read() if token == "-" else token  # a dash
    path = api_path("wrapping", "lookup" if keep else "unwrap")
    found = current.client.call("POST", path, {"token": text.strip()})
    if keep:
        current.print_result(found["wrap"])
    else:
        current.print_document(found)
