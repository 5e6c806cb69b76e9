"""`freehold agent enrol|link|egress …`: the agent's control plane, and what was sent to it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli.api_path import api_path
from ui.cli.context import cli_context, with_output_option
from ui.cli.errors import CliError, Exit, exit_code_for
from ui.cli.input import read_secret_line
from ui.cli.output import print_note

if TYPE_CHECKING:
    from vault.config import Settings
    from vault.uplink.egress import Entry
    from vault.uplink.enrolling import Door

link = typer.Typer(help="How the running agent stands with its control plane.")
usage = typer.Typer(help="What the control plane is told of use.", no_args_is_help=True)
egress = typer.Typer(help="What the agent has sent to its control plane.", no_args_is_help=True)

Config = Annotated[
    Path | None, typer.Option(help="The agent's configuration file.", dir_okay=False)
]
DataDir = Annotated[Path | None, typer.Option(help="Of a development agent, in its place.")]
POLL_SECONDS: Final = 2.0
"""Seconds to the first look whether a person has approved; the control plane says when next."""
OPAQUE: Final = 16
"""Bytes of an opaque id."""
_HEX: Final = re.compile(r"[0-9A-Fa-f]{32}", re.ASCII)
_NAMED: Final = ("opaque", "name", "last_read", "rotated_at", "expires_at")
_POLICIES: Final = ("name", "allows", "denies")
_COLUMNS: Final = ("entry", "time", "kind", "path", "length", "says")


def enrol(
    control: Annotated[str, typer.Option(help="The control plane: https://HOST:PORT.")],
    pin: Annotated[str, typer.Option(help="Its authority's pin, as shown with the token.")],
    token: Annotated[
        str, typer.Option(help="The token; else asked for.", envvar="FREEHOLD_ENROLMENT_TOKEN")
    ] = "",
    join: Annotated[bool, typer.Option("--join", help="Ask a person instead of a token.")] = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Enrol this machine's agent, by a token or by asking to join; then restart the agent."""
    import trio

    if token and join:
        raise CliError("give either --token or --join", Exit.USAGE)
    door, settings = _check_control_plane(control, pin), _settings(config, data_dir)
    token = token or ("" if join else read_secret_line("Enrolment token"))
    with _errors_as_one_line():
        trio.run(_enrol, settings, door, token)
    print_note("enrolled; set control_plane.enabled: true if it is not, and restart the agent")


@link.callback(invoke_without_command=True)
@with_output_option
def show_link(context: typer.Context) -> None:
    """Show how the running agent stands with its control plane."""
    if context.invoked_subcommand is None:
        cli_context(context).print_result(
            cli_context(context).client.call("GET", api_path("system/link"))
        )


@link.command()
@with_output_option
def policies(context: typer.Context) -> None:
    """Show the control plane's policies that are in force."""
    found = cli_context(context).client.call("GET", api_path("system/link/policies"))
    cli_context(context).print_result(found["policies"], _POLICIES)


@link.command("reset-policies")
@with_output_option
def reset_policies(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Drop the control plane's policies and their version, so that a lower one is taken again.

    It needs no link. An agent that is linked gets the policies that it should have at once.
    """
    client = cli_context(context).client
    found = client.call("GET", api_path("system/link/policies"))
    if not found["version"]:
        print_note("no policies of a control plane are in force: nothing to drop")
        return
    if not yes:
        typer.confirm(f"{describe_dropped_policies(found)}\nDrop them?", abort=True, err=True)
    cli_context(context).print_result(client.call("DELETE", api_path("system/link/policies")))


def describe_dropped_policies(found: dict[str, Any]) -> str:
    """What `reset-policies` is about to take out of force."""
    lines = [
        f"bundle version {found['version']} of {found['org']}/{found['vault']} is in force:",
        *(
            f"  {row['name']}: rules that allow: {row['allows']}, that deny: {row['denies']}"
            for row in found["policies"]
        ),
        "What they allow and deny ends at once, and any bundle of a control plane that this agent",
        "is enrolled at counts again, also one that is older than this.",
    ]
    return "\n".join(lines)


@usage.command("list")
@with_output_option
def usage_list(context: typer.Context) -> None:
    """List the secrets that may be named by opaque ids, with their names here."""
    found = cli_context(context).client.call("GET", api_path("system", "usage"))
    cli_context(context).print_result(found["named"], _NAMED)


@usage.command()
@with_output_option
def who(
    context: typer.Context,
    opaque: Annotated[
        str, typer.Argument(help="32 hex digits, or base64 as `agent egress show` has it.")
    ],
) -> None:
    """Show which secret or identity of this agent an opaque id is."""
    at = api_path("system", "usage", _opaque_id(opaque))
    cli_context(context).print_result(cli_context(context).client.call("GET", at))


def _opaque_id(opaque: str) -> str:
    """An opaque id as the API has it. Raises `CliError`."""
    from base64 import b64decode
    from binascii import Error

    if _HEX.fullmatch(opaque):
        return opaque.lower()
    try:
        raw = b64decode(opaque.rstrip("=") + "==", validate=True)
    except (Error, ValueError):
        raw = b""
    if len(raw) != OPAQUE:
        raise CliError("an opaque id is 32 hex digits, or the same 16 bytes in base64", Exit.USAGE)
    return raw.hex()


@egress.command("show")
@with_output_option
def show_(
    context: typer.Context,
    config: Config = None,
    data_dir: DataDir = None,
    raw: Annotated[bool, typer.Option("--raw", help="With the very bytes, in base64.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="The newest so many; 0 means all.")] = 100,
) -> None:
    """Show what was sent, newest last, each entry checked with its place in the chain."""
    from collections import deque

    with _errors_as_one_line():
        entries = deque(_entries(config, data_dir), maxlen=limit or None)
        cli_context(context).print_result([_row(entry, raw=raw) for entry in entries], _COLUMNS)


@egress.command()
@with_output_option
def verify(context: typer.Context, config: Config = None, data_dir: DataDir = None) -> None:
    """Check the whole ledger: every hash, the chain, and each connection's offsets."""
    from vault.uplink.ledger import Tally

    tally = Tally()
    with _errors_as_one_line():
        for entry in _entries(config, data_dir):
            tally.add(entry)
    cli_context(context).print_result(tally.found())


@egress.command()
@with_output_option
def compare(
    context: typer.Context,
    pcap: Annotated[Path, typer.Option(help="Your capture, as tcpdump -w writes it.")],
    keylog: Annotated[Path, typer.Option(help="What control_plane.tls_keylog wrote meanwhile.")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Hold the ledger against a capture of your own: every byte that was sent is accounted for."""
    from msgspec.structs import asdict

    from protocols.capture.pcap import CaptureError, read
    from protocols.capture.tls import read_secrets
    from vault.uplink.comparing import compare as hold
    from vault.uplink.network import address_of

    with _errors_as_one_line():
        entries = list(_entries(config, data_dir))
        ports = sorted({address_of(entry.peer)[1] for entry in entries})
        try:
            with pcap.open("rb") as file:
                capture = read(file)
            found = hold(entries, capture, read_secrets(keylog.read_text()), ports)
        except (CaptureError, UnicodeDecodeError) as error:
            raise CliError(f"cannot read the capture: {error}") from None
    cli_context(context).print_result(asdict(found))
    if not found.holds:
        raise CliError(
            "the capture does not prove the ledger: see missing, foreign, unread and midway"
        )


def _row(entry: "Entry", *, raw: bool) -> dict[str, Any]:
    from vault.uplink.ledger import told

    row: dict[str, Any] = {
        "entry": entry.entry,
        "time": entry.time,
        "kind": entry.kind,
        "peer": entry.peer,
        "path": entry.path,
        "connection": entry.connection,
        "offset": entry.offset,
        "length": entry.length,
        "sha256": entry.sha256,
        "says": told(entry),
    }
    return {**row, "data": entry.data} if raw else row


def _entries(config: Path | None, data_dir: Path | None) -> Iterator["Entry"]:
    from vault.unlinked import EGRESS, folder_of
    from vault.uplink.ledger import read

    return read(folder_of(_settings(config, data_dir)) / EGRESS)


def _settings(config: Path | None, data_dir: Path | None) -> "Settings":
    from functools import partial

    from ui.cli.agent import load_or_exit
    from vault.config.load import dev_settings, load_settings

    if (config is None) == (data_dir is None):
        raise CliError("give either --config or --data-dir", Exit.USAGE)
    if data_dir is not None:
        return load_or_exit(partial(dev_settings, "127.0.0.1:0", data_dir))
    return load_or_exit(partial(load_settings, config or Path()))


def _check_control_plane(control: str, pin: str) -> "Door":
    """Where to go, looked at before anything is asked for or sent. Raises `CliError`."""
    from protocols.pki.errors import PinError
    from protocols.pki.pin import parse_pin
    from vault.model.endpoint import endpoint_of
    from vault.uplink.enrolling import Door

    try:
        endpoint = endpoint_of(control)
        parse_pin(pin)
    except PinError as error:
        raise CliError(f"--pin: {error}", Exit.USAGE) from None
    except ValueError as error:
        raise CliError(f"--control: {error}; nothing was sent", Exit.USAGE) from None
    return Door(endpoint=endpoint, pin=pin)


async def _enrol(settings: "Settings", door: "Door", token: str) -> None:
    from actors import SystemWorld
    from vault.linking import egress_of, identity_of
    from vault.uplink.enrolling import Enroller

    world = SystemWorld()
    identity, ledger = identity_of(settings), egress_of(settings, world)
    identity.prepare()
    try:
        await ledger.open()
        enroller = Enroller(identity, ledger, world)
        if token:
            await enroller.enrol(door, token)
        else:
            await _join(enroller, door, settings.control_plane.label)
    finally:
        await ledger.close()


async def _join(enroller: Any, door: Any, label: str) -> None:
    """Ask until a person has answered."""
    import trio

    fingerprint = ""
    while (pending := await enroller.join(door, label=label)) is not None:
        if pending.fingerprint != fingerprint:
            fingerprint = pending.fingerprint
            print_note(f"waiting for approval; compare the fingerprint: {fingerprint}")
        await trio.sleep(max(POLL_SECONDS, pending.pause))


def _exit(status: int) -> Exit:
    """Of a control plane that answered with this, or did not (0)."""
    return exit_code_for(status) if status else Exit.UNREACHABLE


@contextmanager
def _errors_as_one_line() -> Iterator[None]:
    """What can go wrong, as one line."""
    from protocols.pki.errors import PkiError
    from vault.errors import VaultError
    from vault.uplink.egress import BadLedgerError
    from vault.uplink.enrolling import EnrolError

    try:
        yield
    except BadLedgerError as error:
        raise CliError(f"the egress ledger is not whole: {error}") from None
    except EnrolError as error:
        raise CliError(str(error), _exit(error.status)) from None
    except (PkiError, VaultError) as error:
        raise CliError(str(error)) from None
    except OSError as error:
        raise CliError(f"cannot read {error.filename}: {error.strerror}") from None
