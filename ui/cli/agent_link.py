"""`freehold agent enrol|link|egress …`: the agent's control plane, and what was sent to it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli.errors import CliError, Exit, exit_of
from ui.cli.output import tell
from ui.cli.route import route
from ui.cli.session import session, shown
from ui.cli.source import read_line

if TYPE_CHECKING:
    from vault.config import Settings
    from vault.control_link.egress_chain import LedgerEntry
    from vault.control_link.enrol_client import EnrolTarget

link = typer.Typer(help="How the running agent stands with its control plane.")
usage = typer.Typer(help="What the control plane is told of use.", no_args_is_help=True)
egress = typer.Typer(help="What the agent has sent to its control plane.", no_args_is_help=True)

Config = Annotated[
    Path | None, typer.Option(help="The agent's configuration file.", dir_okay=False)
]
DataDir = Annotated[Path | None, typer.Option(help="Of a development agent, in its place.")]
PATIENCE: Final = 2.0
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
    door, settings = _door(control, pin), _settings(config, data_dir)
    token = token or ("" if join else read_line("Enrolment token"))
    with _told():
        trio.run(_enrol, settings, door, token)
    tell("enrolled; set control_plane.enabled: true if it is not, and restart the agent")


@link.callback(invoke_without_command=True)
@shown
def show_link(context: typer.Context) -> None:
    """Show how the running agent stands with its control plane."""
    if context.invoked_subcommand is None:
        session(context).show(session(context).client.call("GET", route("system/link")))


@link.command()
@shown
def policies(context: typer.Context) -> None:
    """Show the control plane's policies that are in force."""
    found = session(context).client.call("GET", route("system/link/policies"))
    session(context).show(found["policies"], _POLICIES)


@link.command("reset-policies")
@shown
def reset_policies(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Drop the control plane's policies and their version, so that a lower one is taken again.

    It needs no link. An agent that is linked gets the policies that it should have at once.
    """
    client = session(context).client
    found = client.call("GET", route("system/link/policies"))
    if not found["version"]:
        tell("no policies of a control plane are in force: nothing to drop")
        return
    if not yes:
        typer.confirm(f"{dropping(found)}\nDrop them?", abort=True, err=True)
    session(context).show(client.call("DELETE", route("system/link/policies")))


def dropping(found: dict[str, Any]) -> str:
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
@shown
def usage_list(context: typer.Context) -> None:
    """List the secrets that may be named by opaque ids, with their names here."""
    found = session(context).client.call("GET", route("system", "usage"))
    session(context).show(found["named"], _NAMED)


@usage.command()
@shown
def who(
    context: typer.Context,
    opaque: Annotated[
        str, typer.Argument(help="32 hex digits, or base64 as `agent egress show` has it.")
    ],
) -> None:
    """Show which secret or identity of this agent an opaque id is."""
    at = route("system", "usage", _hex(opaque))
    session(context).show(session(context).client.call("GET", at))


def _hex(opaque: str) -> str:
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
@shown
def show_(
    context: typer.Context,
    config: Config = None,
    data_dir: DataDir = None,
    raw: Annotated[bool, typer.Option("--raw", help="With the very bytes, in base64.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="The newest so many; 0 means all.")] = 100,
) -> None:
    """Show what was sent, newest last, each entry checked with its place in the chain."""
    from collections import deque

    with _told():
        entries = deque(_entries(config, data_dir), maxlen=limit or None)
        session(context).show([_row(entry, raw=raw) for entry in entries], _COLUMNS)


@egress.command()
@shown
def verify(context: typer.Context, config: Config = None, data_dir: DataDir = None) -> None:
    """Check the whole ledger: every hash, the chain, and each connection's offsets."""
    from vault.control_link.egress_ledger import LedgerTotals

    tally = LedgerTotals()
    with _told():
        for entry in _entries(config, data_dir):
            tally.add_entry(entry)
    session(context).show(tally.result())


@egress.command()
@shown
def compare(
    context: typer.Context,
    pcap: Annotated[Path, typer.Option(help="Your capture, as tcpdump -w writes it.")],
    keylog: Annotated[Path, typer.Option(help="What control_plane.tls_keylog wrote meanwhile.")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Hold the ledger against a capture of your own: every byte that was sent is accounted for."""
    from msgspec.structs import asdict

    from protocols.capture.pcap import CaptureError, read_capture
    from protocols.capture.tls import parse_key_log
    from vault.control_link.capture_comparison import compare_capture as hold
    from vault.control_link.tls_dialer import parse_address

    with _told():
        entries = list(_entries(config, data_dir))
        ports = sorted({parse_address(entry.peer)[1] for entry in entries})
        try:
            with pcap.open("rb") as file:
                capture = read_capture(file)
            found = hold(entries, capture, parse_key_log(keylog.read_text()), ports)
        except (CaptureError, UnicodeDecodeError) as error:
            raise CliError(f"cannot read the capture: {error}") from None
    session(context).show(asdict(found))
    if not found.is_accounted_for:
        raise CliError(
            "the capture does not prove the ledger: see missing, foreign, unread and midway"
        )


def _row(entry: "LedgerEntry", *, raw: bool) -> dict[str, Any]:
    from vault.control_link.egress_ledger import describe_entry

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
        "says": describe_entry(entry),
    }
    return {**row, "data": entry.data} if raw else row


def _entries(config: Path | None, data_dir: Path | None) -> Iterator["LedgerEntry"]:
    from vault.control_link.egress_ledger import read_entries
    from vault.control_link.null import EGRESS, link_folder

    return read_entries(link_folder(_settings(config, data_dir)) / EGRESS)


def _settings(config: Path | None, data_dir: Path | None) -> "Settings":
    from functools import partial

    from ui.cli.agent import checked
    from vault.config.load import dev_settings, load_settings

    if (config is None) == (data_dir is None):
        raise CliError("give either --config or --data-dir", Exit.USAGE)
    if data_dir is not None:
        return checked(partial(dev_settings, "127.0.0.1:0", data_dir))
    return checked(partial(load_settings, config or Path()))


def _door(control: str, pin: str) -> "EnrolTarget":
    """Where to go, looked at before anything is asked for or sent. Raises `CliError`."""
    from protocols.pki.errors import PinError
    from protocols.pki.pin import parse_pin
    from vault.control_link.enrol_client import EnrolTarget
    from vault.model.endpoint import parse_endpoint

    try:
        endpoint = parse_endpoint(control)
        parse_pin(pin)
    except PinError as error:
        raise CliError(f"--pin: {error}", Exit.USAGE) from None
    except ValueError as error:
        raise CliError(f"--control: {error}; nothing was sent", Exit.USAGE) from None
    return EnrolTarget(endpoint=endpoint, pin=pin)


async def _enrol(settings: "Settings", door: "EnrolTarget", token: str) -> None:
    from actors import SystemWorld
    from vault.control_link.enrol_client import Enroller
    from vault.control_link.wiring import egress_ledger_for, identity_store_for

    world = SystemWorld()
    identity, ledger = identity_store_for(settings), egress_ledger_for(settings, world)
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
            tell(f"waiting for approval; compare the fingerprint: {fingerprint}")
        await trio.sleep(max(PATIENCE, pending.pause))


def _exit(status: int) -> Exit:
    """Of a control plane that answered with this, or did not (0)."""
    return exit_of(status) if status else Exit.UNREACHABLE


@contextmanager
def _told() -> Iterator[None]:
    """What can go wrong, as one line."""
    from protocols.pki.errors import PkiError
    from vault.control_link.egress_chain import BadLedgerError
    from vault.control_link.enrol_client import EnrolError
    from vault.errors import VaultError

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
