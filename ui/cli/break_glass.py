"""`freehold operator break-glass …`: the holders who open the vault without its key provider."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer

from ui.cli.agent_files import Config, leave_acceptance
from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, api_path, cli_context
from ui.cli.errors import CliError
from ui.cli.input import read_secret_line
from ui.cli.output import OutputFormat, print_note

app = CommandGroup("Open the vault when its HSM, cloud key, key file or shares are lost.")

SHARES: Final = 5
THRESHOLD: Final = 3
_SET: Final = "system/break-glass"
_OPENING: Final = "system/break-glass/open"


@app.command(
    "freehold operator break-glass init --shares 5 --threshold 3",
    "freehold operator break-glass init --folder /media/usb",
)
def init(
    context: typer.Context,
    shares: Annotated[int, typer.Option(help="Number of shares.")] = SHARES,
    threshold: Annotated[int, typer.Option(help="Number of shares that open it.")] = THRESHOLD,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of the set in force.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(help="Write each share to a file here, and print none.", file_okay=False),
    ] = None,
) -> None:
    """Make a break-glass set while the vault is open. Its shares are shown once.

    It needs a token with the capability `sudo` on `sys/break-glass`.
    """
    current = cli_context(context)
    body = {"shares": shares, "threshold": threshold, "replace": replace}
    files = _make_files(folder, shares)
    try:
        made = current.client.call("POST", api_path(_SET), body)
    except CliError:
        for file in files:
            file.unlink()
        raise
    told: dict[str, object] = {
        name: made["set"][name] for name in ("set", "shares", "threshold", "made_at", "made_by")
    }
    if files:
        _write_files(files, made["shares"])
        told["files"] = [str(file) for file in files]
    elif current.output_format is OutputFormat.TABLE:
        told |= {f"share_{n}": share for n, share in enumerate(made["shares"], 1)}
    else:
        told["share_texts"] = made["shares"]
    current.print_result(told)
    print_note(
        "Give each share to another person now: no copy is stored. Shares of former sets open "
        "nothing from now on."
    )


@app.command("freehold operator break-glass get")
def get(context: typer.Context) -> None:
    """Show the set in force, who made it when, and how often any set was used."""
    current = cli_context(context)
    found = current.client.call("GET", api_path(_SET))
    current.print_result(found)
    if not found["set"]:
        print_note("There is no break-glass set: `freehold operator break-glass init` makes one.")
    elif found["spent"]:
        print_note(
            "This set has opened the vault: make another one with `freehold operator break-glass "
            "init --replace`."
        )


@app.command("freehold operator break-glass revoke")
def revoke(context: typer.Context, yes: Yes = False) -> None:
    """Revoke the set in force: no shares open the vault from then on."""
    current = cli_context(context)
    if not yes:
        typer.confirm("Revoke the break-glass set in force?", abort=True, err=True)
    current.print_result(current.client.call("DELETE", api_path(_SET)))


@app.command(
    "freehold operator break-glass allow --reason 'HSM burnt' --config /etc/freehold/vault.yaml"
)
def allow(
    context: typer.Context,
    reason: Annotated[str, typer.Option(help="Why; recorded in the audit log.")],
    config: Config = None,
    anchor: Annotated[
        Path | None, typer.Option(help="The anchor file, in place of --config.")
    ] = None,
) -> None:
    """Allow break-glass holders to open the sealed agent on this machine, for one hour and once.

    Run it on the agent's machine, as the agent's user. It prints a code; tell it to each holder.
    """
    from vault.seal.break_glass import new_code

    code = new_code()
    file = leave_acceptance(config, anchor, reason, "break-glass", code)
    cli_context(context).print_result({"code": code})
    print_note(f"allowed for one hour and one opening: {file}")
    print_note("each holder runs `freehold operator break-glass open --code CODE` now")


@app.command("freehold operator break-glass open --code CODE", name="open")
def open_(
    context: typer.Context,
    code: Annotated[str, typer.Option(help="What `break-glass allow` has printed.")] = "",
    status: Annotated[bool, typer.Option("--status", help="Show the progress.")] = False,
) -> None:
    """Enter one share at the sealed agent, asked for without echo or read from stdin.

    No token is needed. At the last share needed the vault opens; the audit log, the control plane
    and the vault's status say so for ever.
    """
    current = cli_context(context)
    path = api_path(_OPENING)
    if status:
        current.print_result(current.client.call("GET", path))
        return
    if not code:
        raise typer.BadParameter("give --code: `freehold operator break-glass allow` prints it")
    body = {"share": read_secret_line("Share"), "code": code}
    found = current.client.call("POST", path, body)
    current.print_result(
        {name: found[name] for name in ("sealed", "threshold", "progress", "uses")}
    )
    if found["warning"]:
        print_note(f"Warning: {found['warning']}")
    if not found["sealed"]:
        print_note(
            "The vault is open. Make its root key safe again before the agent restarts, then make "
            "another set: docs/guides/break-glass.md"
        )


def _make_files(folder: Path | None, count: int) -> Sequence[Path]:
    """Empty files for so many shares, none of which was there. Raises `CliError`."""
    made: list[Path] = []
    for number in range(1, count + 1 if folder is not None else 1):
        file = Path(folder or ".") / f"break-glass-share-{number}.txt"
        try:
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            for each in made:
                with suppress(OSError):
                    each.unlink()
            raise CliError(f"cannot make {file}: {error.strerror}; no set was made") from None
        made.append(file)
    return made


def _write_files(files: Sequence[Path], shares: Sequence[str]) -> None:
    """Write the shares durably. Raises `CliError`."""
    for file, share in zip(files, shares, strict=True):
        try:
            with file.open("w", encoding="ascii") as opened:
                opened.write(f"{share}\n")
                opened.flush()
                os.fsync(opened.fileno())
        except OSError as error:
            raise CliError(
                f"cannot write {file}: {error.strerror}; the set is in force and a share of it is "
                "lost: make another one with --replace"
            ) from None
