"""`freehold control report …`: a report held against its signature, on any machine."""

from pathlib import Path
from typing import Annotated

import typer

from ui.cli.context import cli_context, with_output_option
from ui.cli.control_trail import DEV, Config, DataDir
from ui.cli.errors import CliError, Exit

app = typer.Typer(help="Compliance reports: verify them.", no_args_is_help=True)


@app.command()
@with_output_option
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The JSON form of the report.", dir_okay=False)],
    key: Annotated[
        str, typer.Option(help="The control plane's key in hexadecimal; else the one kept here.")
    ] = "",
    config: Config = None,
    data_dir: DataDir = DEV,
) -> None:
    """Check the signature, every part, and every proof that needs no database.

    The key is that of `GET organizations/ORG/audit/head`: take it from there, never from the
    report itself. Exit 1 if anything is not as it was signed.
    """
    from control.compliance.report_file import MAX_BYTES, verify_report_file

    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise CliError(f"{file} cannot be read: {error.strerror}") from None
    verdict = verify_report_file(data, _key(key, config, data_dir))
    told = "not as it was signed" if verdict.faults else "whole"
    row = {"verdict": told, "digest": verdict.digest, "faults": list(verdict.faults)}
    cli_context(context).print_result(row)
    if verdict.faults:
        raise typer.Exit(Exit.ERROR)


def _key(given: str, config: Path | None, data_dir: Path) -> bytes:
    """The public key: given, or that of the keys' folder. Raises `CliError`."""
    from control.offline import read_witness_key
    from ui.cli.control_trail import load_settings

    if not given:
        kept = read_witness_key(load_settings(config, data_dir))
        if not kept:
            raise CliError(
                "there is no key here to check the signature by: pass --key, as "
                "`GET organizations/ORG/audit/head` tells it, or --config or --data-dir of the "
                "control plane that signed the report"
            )
        return kept
    try:
        key = bytes.fromhex(given)
    except ValueError:
        key = b""
    if len(key) != 32:  # noqa: PLR2004  # Ed25519
        raise CliError("a key is 64 hexadecimal digits")
    return key
