"""`freehold agent init|health|certificate …`: the agent on its machine, before and beside it."""

import os
import shlex
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import cli_context
from ui.cli.doctor import print_findings
from ui.cli.errors import CliError, Exit
from ui.cli.output import OutputFormat, print_note
from ui.cli.process import in_one_line, load_or_exit

if TYPE_CHECKING:
    from vault.installation.first_run import FirstRun
    from vault.installation.machine import User

SERVICE_USER: Final = "freehold"

certificate = CommandGroup("The certificate that agent init has made.")


def init(
    context: typer.Context,
    config: Annotated[Path, typer.Option(help="The configuration file to write.", dir_okay=False)],
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or address by which clients call it; repeatable. Default: this host."
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(help="host:port; 0.0.0.0 is every address.")
    ] = "0.0.0.0:8200",  # with TLS
    data_dir: Annotated[
        Path, typer.Option(help="Folder of the data; beside it are those of anchor and key.")
    ] = Path("/var/lib/freehold"),
    log_dir: Annotated[Path, typer.Option(help="Folder of the audit log.")] = Path(
        "/var/log/freehold"
    ),
    key_management: Annotated[
        Literal["shamir", "file"],
        typer.Option(
            help="Who unseals it after a start: people by shares, or the agent by a file."
        ),
    ] = "shamir",
    user: Annotated[
        str,
        typer.Option(
            help="User that the agent runs as. Default for root: freehold, if there is one."
        ),
    ] = "",
) -> None:
    """Prepare a machine: configuration, folders, and a certificate where there is none.

    Nothing that is there is changed, so that it can be repeated. The certificate is issued by an
    authority of its own. Afterwards the machine is looked over, and the next step is printed.
    """
    from actors import SystemWorld
    from vault.config.load import load_settings
    from vault.errors import VaultError
    from vault.installation.doctor import FIRST_RUN, examine
    from vault.installation.first_run import FirstRun, make_certificate, prepare
    from vault.installation.machine import Machine

    run = FirstRun(
        config=config,
        user=_user(user),
        names=tuple(dict.fromkeys((*(name or (gethostname(),)), "localhost", "127.0.0.1", "::1"))),
        listen=listen,
        data=data_dir.absolute(),
        logs=log_dir.absolute(),
        key_file=key_management == "file",
    )
    made: list[str] = []
    in_one_line(lambda: made.extend(prepare(run)), VaultError)
    settings = load_or_exit(partial(load_settings, config))
    tls = settings.server.tls
    if tls.enabled and tls.cert_file and tls.key_file:
        make = partial(
            make_certificate, tls.cert_file, tls.key_file, run.names, run.user, SystemWorld()
        )
        in_one_line(lambda: made.extend(make()), VaultError)
    for line in made:
        print_note(line)
    findings = examine(config, Machine(user=run.user), checks=FIRST_RUN)
    print_findings(cli_context(context), findings)
    if cli_context(context).output_format is OutputFormat.TABLE:
        _print_next(run, settings.server.address[1])
    if any(found.severity == "error" for found in findings):
        raise typer.Exit(Exit.ERROR)


def _user(name: str) -> "User":
    from vault.errors import NotFoundError
    from vault.installation.machine import User

    if not name and os.geteuid() != 0:
        return User.current()
    try:
        return User.named(name or SERVICE_USER)
    except NotFoundError as error:
        if name:
            raise CliError(error.message, Exit.NOT_FOUND) from None
        return User.current()


def _print_next(run: "FirstRun", port: int) -> None:
    """The commands that follow, in order."""
    from vault.installation.first_run import AUTHORITY, AUTHORITY_KEY, trust_command

    config, root = shlex.quote(str(run.config)), shlex.quote(str(run.tls / AUTHORITY))
    print_note("Next:")
    print_note(
        f"  freehold agent serve --config {config}      # or: systemctl enable --now freehold-agent"
    )
    print_note(f"  export FREEHOLD_ADDR=https://{run.names[0]}:{port} FREEHOLD_CACERT={root}")
    print_note("  freehold operator init                      # once: shares and root token")
    print_note(
        "  freehold mount create secret                # with FREEHOLD_TOKEN: where secrets go"
    )
    if (run.tls / AUTHORITY_KEY).exists():
        print_note("Other machines trust the certificate after (Debian, with a copy of ca.crt):")
        print_note(f"  {trust_command(run)}")
        print_note(
            f"{run.tls / AUTHORITY_KEY} signs the next one: keep it from others, or elsewhere."
        )


@certificate.command("freehold agent certificate renew --config /etc/freehold/vault.yaml")
def renew(
    config: Annotated[Path, typer.Option(help="The agent's configuration file.", dir_okay=False)],
) -> None:
    """Issue another certificate for the same names, by the authority that init has made.

    Reload the agent afterwards: systemctl reload freehold-agent, or SIGHUP.
    """
    from actors import SystemWorld
    from vault.config.load import load_settings
    from vault.errors import VaultError
    from vault.installation.first_run import renew_certificate

    tls = load_or_exit(partial(load_settings, config)).server.tls
    if not (tls.enabled and tls.cert_file and tls.key_file):
        raise CliError(f"{config} has no server.tls.cert_file: there is nothing to renew")
    renewed = partial(renew_certificate, tls.cert_file, tls.key_file, SystemWorld())
    days: list[str] = []
    in_one_line(lambda: days.append(renewed()), VaultError)
    print_note(f"{tls.cert_file} is valid until {days[0]}; now reload the agent")


def health(
    config: Annotated[Path, typer.Option(help="The agent's configuration file.", dir_okay=False)],
    ready: Annotated[
        bool, typer.Option("--ready", help="Also fail while it is sealed or refuses requests.")
    ] = False,
) -> None:
    """Ask the agent on this machine whether it answers; for health checks of containers.

    A sealed agent is alive: it waits for people, and a restart would not help it.
    """
    from vault.config.load import load_settings

    server = load_or_exit(partial(load_settings, config)).server
    check_health(*server.address, tls=server.tls.enabled, ready=ready)


def check_health(host: str, port: int, *, tls: bool, ready: bool) -> None:
    """Raises `CliError` unless a server answers there as it should."""
    from protocols.http.local_probe import probe

    answer = probe(host, port, "/health/ready" if ready else "/health/live", tls=tls)
    if answer is None:
        raise CliError(f"nobody answers on port {port}", Exit.UNREACHABLE)
    if answer.status not in {0, 200} or (ready and answer.status == 0):
        text = answer.body.decode(errors="replace") or "no answer without a client's certificate"
        raise CliError(f"not healthy: {text}")
