"""`freehold control …`: run the control plane; repair and verify it on its own machine."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli import control_audit, control_ca
from ui.cli.command_group import CommandGroup
from ui.cli.context import cli_context
from ui.cli.control_audit import DEV, Config, DataDir, run_offline
from ui.cli.errors import CliError, Exit
from ui.cli.input import read_new_password
from ui.cli.output import print_note
from ui.cli.process import in_one_line, load_or_exit, make_private_folder, protect_memory

if TYPE_CHECKING:
    from control.services.delegated_authority import Delegations

app = CommandGroup("Run a control plane.")
users = CommandGroup("Accounts, when nobody can sign in any more.")
reports = CommandGroup("Compliance reports.")
certificates = CommandGroup("The certificate of the API and the dashboard.")
app.add_group(control_ca.app, "ca")
app.add_group(control_audit.app, "audit")
app.add_group(users, "user")
app.add_group(reports, "report")
app.add_group(certificates, "certificate")


@app.command("freehold control dev", "freehold control dev --data-dir ./control-data")
def dev(
    listen: Annotated[str, typer.Option(help="host:port on loopback.")] = "127.0.0.1:8300",
    data_dir: Annotated[Path, typer.Option(help="Data folder.")] = Path(".freehold-control"),
    heartbeat: Annotated[
        str,
        typer.Option(help="Time between two heartbeats of an agent; after two it is late."),
    ] = "60s",
    offline_after: Annotated[
        str, typer.Option(help="An agent is offline after this time without a heartbeat.")
    ] = "300s",
) -> None:
    """Run for development: plain HTTP on loopback, SQLite, authority and first account created.

    Agents connect to the next port, with TLS.
    """
    from control.app import serve
    from control.config.load import dev_settings

    make_private_folder(data_dir)
    settings = load_or_exit(partial(dev_settings, listen, data_dir, (heartbeat, offline_after)))
    print_note(f"freehold: development control plane on http://{listen}, data in {data_dir}")
    _run(
        partial(
            _with_authority,
            data_dir.absolute(),
            partial(serve, settings, print_note, password_file=data_dir / "password"),
        )
    )


async def _with_authority(data_dir: Path, serve: Callable[[], Awaitable[None]]) -> None:
    from actors import SystemWorld
    from control.bootstrap import create_dev_authority

    world = SystemWorld()
    await world.run_sync(create_dev_authority, data_dir, world.now())
    await serve()


@app.command("freehold control health --config /etc/freehold/control.yaml")
def health(
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
    ready: Annotated[
        bool, typer.Option("--ready", help="Also fail while its database does not answer.")
    ] = False,
) -> None:
    """Ask the control plane on this machine whether it answers; for health checks of containers."""
    from control.config.load import load_settings
    from ui.cli.agent_install import check_health

    server = load_or_exit(partial(load_settings, config)).server
    check_health(*server.address, tls=server.tls.enabled, ready=ready)


@certificates.command(
    "freehold control certificate create --config /etc/freehold/control.yaml --name control.example"
)
def create(
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
    name: Annotated[
        list[str], typer.Option(help="Name or address by which browsers call it; repeatable.")
    ],
) -> None:
    """Issue a certificate where server.tls wants one, by an authority of its own beside it.

    Nothing that is there is changed. Run it as the control plane's user.
    """
    from actors import SystemWorld
    from control.config.load import load_settings
    from vault.errors import VaultError
    from vault.installation.first_run import make_certificate
    from vault.installation.machine import User

    tls = load_or_exit(partial(load_settings, config)).server.tls
    if not (tls.enabled and tls.cert_file and tls.key_file):
        raise CliError(f"{config} has no server.tls.cert_file: there is nothing to make")
    made: list[str] = []
    make = partial(
        make_certificate, tls.cert_file, tls.key_file, tuple(name), User.current(), SystemWorld()
    )
    in_one_line(lambda: made.extend(make()), VaultError)
    for line in made:
        print_note(line)


@app.command("freehold control init acme --config /etc/freehold/control.yaml --root /media/usb")
def init(
    context: typer.Context,
    organization: Annotated[str, typer.Argument(help="Id of the first organization, as acme.")],
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
    title: Annotated[str, typer.Option(help="Its name for people; default: its id.")] = "",
    root: Annotated[
        Path | None,
        typer.Option(help="Folder for the root key of the authority. Remove it afterwards."),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help="File with the first password; created with a random one if missing."),
    ] = None,
) -> None:
    """Create the authority, the first organization and the first account, before the first start.

    The account is the user admin of the organization platform, who can create all others. The
    password is asked for, or read from stdin, unless --password-file is given.
    """
    from actors import SystemWorld
    from control.bootstrap import initialize, read_or_create_password
    from control.config.load import load_settings

    settings = load_or_exit(partial(load_settings, config))
    ask = (
        partial(read_or_create_password, password_file)
        if password_file
        else partial(read_new_password, "Password")
    )
    pins: list[str] = []

    async def make() -> None:
        world = SystemWorld()
        pins.append(
            await initialize(
                settings, world, organization=organization, title=title, root=root, password=ask
            )
        )

    _run(make)
    made = {"organization": organization, "login": "admin of platform", "pin": pins[0]}
    cli_context(context).print_result(
        made | ({"password": str(password_file)} if password_file else {})
    )
    if root is not None:
        control_ca.remind_to_remove(root)
    print_note(f"Now start it: freehold control serve --config {config}")


@app.command("freehold control serve --config /etc/freehold/control.yaml", name="serve")
def serve_(
    config: Annotated[Path, typer.Option(help="The configuration file.", dir_okay=False)],
) -> None:
    """Run in production, with a configuration file."""
    from control.app import serve
    from control.config.load import load_settings

    _run(partial(serve, load_or_exit(partial(load_settings, config)), print_note))


@app.command("freehold control confirm-clock --config /etc/freehold/control.yaml")
def confirm_clock(config: Config = None, data_dir: DataDir = DEV) -> None:
    """Confirm that this machine's clock is right, although it jumped.

    While the clock is a week or more ahead of the last known time, nothing is deleted by age. While
    it is behind, sessions expire by the later time. Check the clock first. With SQLite, stop the
    control plane before; with PostgreSQL, running processes accept it within a minute.
    """
    from control.offline import confirm_clock as confirm

    run_offline(config, data_dir, confirm)
    print_note("the clock is confirmed: deletions and expiry follow it")


@users.command("freehold control user recover acme ann --config /etc/freehold/control.yaml")
def recover(
    organization: Annotated[
        str, typer.Argument(help="Organization of the account; `platform` for super-admins.")
    ],
    name: Annotated[str, typer.Argument(help="Name of the account.")],
    config: Config = None,
    data_dir: DataDir = DEV,
) -> None:
    """Set a new password, remove the second factor and enable the account.

    The password is asked for, or read from stdin. Every credential of the account is revoked, and
    what it has issued and nobody has used: invitations, enrolment tokens, approvals of agents.
    Channels, report schedules and running roll-outs that it set up are listed for you to review.
    Run this on the control plane's machine; it is recorded in the audit log.
    """
    from control.offline import recover_account

    password = read_new_password("New password")
    do = partial(recover_account, org=organization, name=name, password=password)
    found: Delegations = run_offline(config, data_dir, do)
    account = f"{organization}/{name}"
    print_note(f"{account} signs in with the new password")
    for org in found.organizations:
        for what in found.withdrawn.get(org, []):
            print_note(f"{org}: withdrawn: {what}")
        for what in found.active.get(org, []):
            print_note(f"{org}: still active: {what}")
    if found.active:
        print_note(f"review what is still active, and in the audit log what {account} did lately")


@reports.command("freehold control report verify report.json --key KEY")
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The JSON form of the report.", dir_okay=False)],
    key: Annotated[
        str, typer.Option(help="The control plane's key in hexadecimal; else the one kept here.")
    ] = "",
    config: Config = None,
    data_dir: DataDir = DEV,
) -> None:
    """Check a report's signature, every part, and every proof that needs no database.

    `GET organizations/ORG/audit/head` prints the key. Never take it from the report itself. Exit
    code 1 if anything differs from what was signed.
    """
    from control.compliance.report_file import MAX_BYTES, verify_report_file

    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise CliError(f"cannot read {file}: {error.strerror}") from None
    verdict = verify_report_file(data, _key(key, config, data_dir))
    text = "not as it was signed" if verdict.faults else "whole"
    row = {"verdict": text, "digest": verdict.digest, "faults": list(verdict.faults)}
    cli_context(context).print_result(row)
    if verdict.faults:
        raise typer.Exit(Exit.ERROR)


def _key(given: str, config: Path | None, data_dir: Path) -> bytes:
    """The public key: given, or that of the keys' folder. Raises `CliError`."""
    from control.offline import read_witness_key

    if not given:
        kept = read_witness_key(control_audit.load_settings(config, data_dir))
        if not kept:
            raise CliError(
                "no key is here to check the signature with: pass --key, as "
                "`GET organizations/ORG/audit/head` prints it, or --config or --data-dir of the "
                "control plane that signed the report"
            )
        return kept
    try:
        key = bytes.fromhex(given)
    except ValueError:
        key = b""
    if len(key) != 32:  # noqa: PLR2004  # Ed25519
        raise CliError("--key must be 64 hexadecimal digits", Exit.USAGE)
    return key


def _run(plane: Callable[[], Awaitable[None]]) -> None:
    """Run it; what it cannot start with is one line, not a traceback."""
    import trio

    from protocols.errors import ApiError
    from protocols.pki.errors import PkiError

    protect_memory()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    in_one_line(partial(trio.run, plane), ApiError, PkiError, OSError)
