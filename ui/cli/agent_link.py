"""`freehold agent enrol|link|egress|usage …`: the agent's control plane, and what it is sent."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, api_path, cli_context, confirm
from ui.cli.errors import CliError, Exit, exit_code_for
from ui.cli.input import read_secret_line
from ui.cli.output import print_note
from ui.cli.process import load_or_exit
from ui.cli.progress import counted

if TYPE_CHECKING:
    from vault.config import Settings
    from vault.control_link.egress_chain import LedgerEntry
    from vault.control_link.enrol_client import Enroller, EnrolTarget

link = CommandGroup("The running agent's connection to its control plane.")
link_policy = CommandGroup("Policies that the control plane has sent to this agent.")
link.add_group(link_policy, "policy")
usage = CommandGroup("Opaque ids in the usage reports to the control plane.")
egress = CommandGroup("The ledger of everything the agent has sent to its control plane.")

Config = Annotated[
    Path | None, typer.Option(help="The agent's configuration file.", dir_okay=False)
]
DataDir = Annotated[
    Path | None, typer.Option(help="Data folder of a development agent, in place of --config.")
]
POLL_SECONDS: Final = 2.0
"""Seconds until the first check for an approval; the control plane says when to check next."""
OPAQUE: Final = 16
"""Bytes of an opaque id."""
_HEX: Final = re.compile(r"[0-9A-Fa-f]{32}", re.ASCII)
_NAMED: Final = ("opaque", "name", "last_read", "rotated_at", "expires_at")
_POLICIES: Final = ("name", "allows", "denies")
_COLUMNS: Final = ("entry", "time", "kind", "path", "length", "says")


def enrol(
    control: Annotated[
        str, typer.Option(help="Where agents reach the control plane: https://HOST:PORT.")
    ],
    pin: Annotated[str, typer.Option(help="Pin of its authority, shown with the token.")],
    token: Annotated[
        str,
        typer.Option(help="Enrolment token; else asked for.", envvar="FREEHOLD_ENROLMENT_TOKEN"),
    ] = "",
    join: Annotated[
        bool, typer.Option("--join", help="Request approval by a person; no token is needed.")
    ] = False,
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Enrol this machine's agent at a control plane, by a token or by a join request.

    Restart the agent afterwards.
    """
    import trio

    if token and join:
        raise CliError("give either --token or --join", Exit.USAGE)
    target, settings = _check_control_plane(control, pin), _settings(config, data_dir)
    token = token or ("" if join else read_secret_line("Enrolment token"))
    with _errors_as_one_line():
        trio.run(_enrol, settings, target, token)
    print_note("enrolled; set control_plane.enabled: true if it is not, and restart the agent")


@link.command("freehold agent link get")
def get(context: typer.Context) -> None:
    """Show the state of the connection to the control plane."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("system/link")))


@link_policy.command("freehold agent link policy list", name="list")
def list_policies(context: typer.Context) -> None:
    """List the control plane's policies that are in force."""
    current = cli_context(context)
    found = current.client.call("GET", api_path("system/link/policies"))
    current.print_result(found["policies"], _POLICIES)


@link_policy.command("freehold agent link policy reset", "freehold agent link policy reset --yes")
def reset(context: typer.Context, yes: Yes = False) -> None:
    """Drop the control plane's policies and their version, so that a lower version is accepted.

    The agent need not be connected. A connected agent gets its policies again at once.
    """
    current = cli_context(context)
    found = current.client.call("GET", api_path("system/link/policies"))
    if not found["version"]:
        print_note("no policies of a control plane are in force: nothing to drop")
        return
    confirm(f"{describe_dropped_policies(found)}\nDrop them?", yes=yes)
    current.print_result(current.client.call("DELETE", api_path("system/link/policies")))


def describe_dropped_policies(found: dict[str, Any]) -> str:
    """What `reset` is about to take out of force."""
    lines = [
        f"bundle version {found['version']} of {found['org']}/{found['vault']} is in force:",
        *(
            f"  {row['name']}: rules that allow: {row['allows']}, that deny: {row['denies']}"
            for row in found["policies"]
        ),
        "They stop applying at once. After that the agent accepts any bundle of its control plane,",
        "also an older one.",
    ]
    return "\n".join(lines)


@usage.command("freehold agent usage list", name="list")
def list_usage(context: typer.Context) -> None:
    """List the secrets that usage reports may name, each with its opaque id."""
    current = cli_context(context)
    found = current.client.call("GET", api_path("system", "usage"))
    current.print_result(found["named"], _NAMED)


@usage.command("freehold agent usage resolve 0f8fad5bd9cb469fa16570867728950e")
def resolve(
    context: typer.Context,
    opaque: Annotated[
        str, typer.Argument(help="32 hex digits, or base64 as `agent egress list` prints it.")
    ],
) -> None:
    """Show which secret or identity of this agent an opaque id stands for."""
    current = cli_context(context)
    at = api_path("system", "usage", _opaque_id(opaque))
    current.print_result(current.client.call("GET", at))


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


@egress.command(
    "freehold agent egress list --config /etc/freehold/vault.yaml --limit 20", name="list"
)
def list_egress(
    context: typer.Context,
    config: Config = None,
    data_dir: DataDir = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Add the bytes that were sent, in base64.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="The newest entries only; 0 means all.")] = 100,
) -> None:
    """List what was sent, newest last. Each entry is checked with its place in the chain."""
    from collections import deque

    with _errors_as_one_line():
        entries = deque(_entries(config, data_dir), maxlen=limit or None)
        cli_context(context).print_result([_row(entry, raw=raw) for entry in entries], _COLUMNS)


@egress.command("freehold agent egress verify --config /etc/freehold/vault.yaml")
def verify(context: typer.Context, config: Config = None, data_dir: DataDir = None) -> None:
    """Check the whole ledger: every hash, the chain, and each connection's offsets."""
    from vault.control_link.egress_ledger import LedgerTotals

    tally = LedgerTotals()
    with _errors_as_one_line():
        for entry in counted(_entries(config, data_dir), "Verifying entries"):
            tally.add_entry(entry)
    cli_context(context).print_result(tally.result())


@egress.command(
    "freehold agent egress compare --pcap link.pcap --keylog keys.log "
    "--config /etc/freehold/vault.yaml"
)
def compare(
    context: typer.Context,
    pcap: Annotated[Path, typer.Option(help="Your capture, as tcpdump -w writes it.")],
    keylog: Annotated[Path, typer.Option(help="The file that control_plane.tls_keylog wrote.")],
    config: Config = None,
    data_dir: DataDir = None,
) -> None:
    """Compare the ledger with your own packet capture: every byte sent must be in both."""
    from msgspec.structs import asdict

    from protocols.capture.pcap import CaptureError, read_capture
    from protocols.capture.tls import parse_key_log
    from vault.control_link.capture_comparison import compare_capture as hold
    from vault.control_link.tls_dialer import parse_address

    with _errors_as_one_line():
        entries = list(_entries(config, data_dir))
        ports = sorted({parse_address(entry.peer)[1] for entry in entries})
        try:
            with pcap.open("rb") as file:
                capture = read_capture(file)
            found = hold(entries, capture, parse_key_log(keylog.read_text()), ports)
        except (CaptureError, UnicodeDecodeError) as error:
            raise CliError(f"cannot read the capture: {error}") from None
    cli_context(context).print_result(asdict(found))
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

    from vault.config.load import dev_settings, load_settings

    if (config is None) == (data_dir is None):
        raise CliError("give either --config or --data-dir", Exit.USAGE)
    if data_dir is not None:
        return load_or_exit(partial(dev_settings, "127.0.0.1:0", data_dir))
    return load_or_exit(partial(load_settings, config or Path()))


def _check_control_plane(control: str, pin: str) -> "EnrolTarget":
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


async def _enrol(settings: "Settings", target: "EnrolTarget", token: str) -> None:
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
            await enroller.enrol(target, token)
        else:
            await _join(enroller, target, settings.control_plane.label)
    finally:
        await ledger.close()


async def _join(enroller: "Enroller", target: "EnrolTarget", label: str) -> None:
    """Ask until a person has answered."""
    import trio

    fingerprint = ""
    while (pending := await enroller.join(target, label=label)) is not None:
        if pending.fingerprint != fingerprint:
            fingerprint = pending.fingerprint
            print_note(f"waiting for approval; compare the fingerprint: {fingerprint}")
        await trio.sleep(max(POLL_SECONDS, pending.retry_seconds))


def _exit(status: int) -> Exit:
    """Of a control plane that answered with this, or did not (0)."""
    return exit_code_for(status) if status else Exit.UNREACHABLE


@contextmanager
def _errors_as_one_line() -> Iterator[None]:
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
