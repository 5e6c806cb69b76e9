"""`freehold control ca …`: the authority's files, on the machine where they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli.command_group import CommandGroup
from ui.cli.context import Yes, cli_context, confirm
from ui.cli.errors import CliError, Exit
from ui.cli.output import OutputFormat, print_note

if TYPE_CHECKING:
    from control.ca.directory import CaDirectory

app = CommandGroup("The control plane's certificate authority.")
intermediate = CommandGroup("The intermediate authority, which signs agents' certificates.")
rollover = CommandGroup("Replace the root authority by the next one.")
app.add_group(intermediate, "intermediate")
app.add_group(rollover, "rollover")

Directory = Annotated[
    Path, typer.Option("--directory", "-d", help="The authority's directory.", envvar="FREEHOLD_CA")
]
RootFolder = Annotated[Path, typer.Option(help="Folder for the root key. Remove it afterwards.")]
Label = Annotated[str, typer.Option(help="Name in its certificates.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Do not wait for agents that have not learned the next root."),
]

DEFAULT = Path("ca")
LABEL = "Freehold"


@app.command("freehold control ca init --root /media/usb --directory ./ca")
def init(
    context: typer.Context,
    root: RootFolder,
    directory: Directory = DEFAULT,
    label: Label = LABEL,
) -> None:
    """Create a root and an intermediate. The root key goes to a folder of its own."""
    with _errors_as_one_line():
        _directory(directory).create_authority(root, label, _now())
        cli_context(context).print_result(_summary(directory))
    remind_to_remove(root)


@app.command("freehold control ca get --directory ./ca")
def get(context: typer.Context, directory: Directory = DEFAULT) -> None:
    """Show the pin that agents need, the phase, and when each authority expires."""
    with _errors_as_one_line():
        cli_context(context).print_result(_summary(directory))


@intermediate.command(
    "freehold control ca intermediate request --directory ./ca > request.pem",
    name="request",
)
def request_intermediate(
    context: typer.Context,
    directory: Directory = DEFAULT,
    label: Label = LABEL,
) -> None:
    """Create the intermediate's key and print the signing request for your own root."""
    with _errors_as_one_line():
        request = _directory(directory).create_request(f"{label} intermediate")
    _print_request(context, request)


@intermediate.command(
    "freehold control ca intermediate install signed.pem root.pem --directory ./ca"
)
def install(
    context: typer.Context,
    certificate: Annotated[Path, typer.Argument(help="What your root signed, in PEM.")],
    root: Annotated[Path, typer.Argument(help="Your root's certificate, in PEM.")],
    directory: Directory = DEFAULT,
) -> None:
    """Install the intermediate that your own root signed."""
    from protocols.pki.files import read_file

    with _errors_as_one_line():
        _directory(directory).install_intermediate(read_file(certificate), read_file(root))
        cli_context(context).print_result(_summary(directory))


@intermediate.command("freehold control ca intermediate renew --root /media/usb --directory ./ca")
def renew(
    context: typer.Context,
    root: Annotated[Path, typer.Option(help="Folder with the root key.")],
    directory: Directory = DEFAULT,
) -> None:
    """Certify the intermediate for another year. The root key is needed for it."""
    from control.ca.directory import load_root

    _run_step(context, directory, lambda ca: ca.renew_intermediate(load_root(root), _now()))
    remind_to_remove(root)


@rollover.command("freehold control ca rollover start --old-root /media/old --new-root /media/new")
def start(
    context: typer.Context,
    old_root: Annotated[Path, typer.Option(help="Folder with the current root key.")],
    new_root: Annotated[Path, typer.Option(help="Folder for the next root key.")],
    directory: Directory = DEFAULT,
    label: Label = LABEL,
) -> None:
    """Create the next root, certify it by the current one, and announce it to agents."""
    from control.ca.directory import load_root

    with _errors_as_one_line():
        _directory(directory).rollover_start(load_root(old_root), new_root, label, _now())
        cli_context(context).print_result(_summary(directory))
    remind_to_remove(new_root)


@rollover.command("freehold control ca rollover request > request.pem")
def request(context: typer.Context, directory: Directory = DEFAULT, label: Label = LABEL) -> None:
    """Print the signing request of the next intermediate, for your own next root."""
    with _errors_as_one_line():
        made = _directory(directory).rollover_request(f"{label} intermediate")
    _print_request(context, made)


@rollover.command(
    "freehold control ca rollover adopt signed.pem next-root.pem --old-root /media/old"
)
def adopt(
    context: typer.Context,
    certificate: Annotated[Path, typer.Argument(help="What your next root signed, in PEM.")],
    root: Annotated[Path, typer.Argument(help="Your next root's certificate, in PEM.")],
    cross: Annotated[
        Path | None,
        typer.Option(help="Your next root, certified by the current one, if that is yours too."),
    ] = None,
    old_root: Annotated[
        Path | None, typer.Option(help="Or the folder with the current root key.")
    ] = None,
    directory: Directory = DEFAULT,
) -> None:
    """Announce a next root of your own to agents, once both roots have signed."""
    from control.ca.directory import load_root
    from protocols.pki.files import read_file

    if (cross is None) == (old_root is None):
        raise CliError(
            "give either --cross FILE or --old-root FOLDER, to certify the next root", Exit.USAGE
        )
    with _errors_as_one_line():
        leads = read_file(cross) if cross is not None else load_root(old_root or Path())
        _directory(directory).rollover_adopt(read_file(certificate), read_file(root), leads, _now())
        cli_context(context).print_result(_summary(directory))
    if old_root is not None:
        remind_to_remove(old_root)


@rollover.command("freehold control ca rollover switch")
def switch(
    context: typer.Context,
    directory: Directory = DEFAULT,
    force: Force = False,
) -> None:
    """Issue from the next authority, once every agent knows its root."""
    _run_step(context, directory, lambda ca: ca.rollover_switch(_now(), force=force))


@rollover.command(
    "freehold control ca rollover finish", "freehold control ca rollover finish --yes"
)
def finish(
    context: typer.Context,
    directory: Directory = DEFAULT,
    force: Force = False,
    yes: Yes = False,
) -> None:
    """Stop trusting the old root. With --force, also for agents that still need it to find the new.

    An agent that does not know the next root must be enrolled again.
    """
    confirm("Stop trusting the old root for good?", yes=yes)
    _run_step(context, directory, lambda ca: ca.rollover_finish(_now(), force=force))


def _run_step(
    context: typer.Context, directory: Path, step: "Callable[[CaDirectory], object]"
) -> None:
    with _errors_as_one_line():
        step(_directory(directory))
        cli_context(context).print_result(_summary(directory))


def _directory(path: Path) -> "CaDirectory":
    from control.ca.directory import CaDirectory

    return CaDirectory(path)


def _summary(path: Path) -> dict[str, object]:
    from protocols.instant import rfc3339
    from protocols.pki.certificates import validity_period
    from protocols.pki.pin import pin_of

    directory = _directory(path)
    state, standing = directory.read_state(), directory.issuing_state()
    authority = standing.authority
    return {
        "pin": pin_of(authority.root),
        "phase": state.phase.value,
        "since": rfc3339(state.since) if state.since else "",
        "trusted": standing.trust.pins,
        "root_expires": rfc3339(validity_period(authority.root)[1]),
        "intermediate_expires": rfc3339(validity_period(authority.certificate)[1]),
    }


def _now() -> int:
    from actors.world import SystemWorld

    return SystemWorld().now()


def _print_request(context: typer.Context, request: bytes) -> None:
    current = cli_context(context)
    text = request.decode()
    if current.output_format is OutputFormat.TABLE:
        typer.echo(text, nl=False)
    else:
        current.print_result({"request": text})


def remind_to_remove(folder: Path) -> None:
    """Say that the root key must not stay on this machine."""
    print_note(f"Remove {folder} from this machine: its key can sign any authority.")


@contextmanager
def _errors_as_one_line() -> Iterator[None]:
    """The library's errors as this command's."""
    from control.errors import ConflictError, ControlError, NotFoundError
    from protocols.pki.errors import PkiError

    try:
        yield
    except NotFoundError as error:
        raise CliError(error.message, Exit.NOT_FOUND) from None
    except ConflictError as error:
        raise CliError(error.message, Exit.CONFLICT) from None
    except ControlError as error:
        raise CliError(error.message) from None
    except PkiError as error:
        raise CliError(str(error)) from None
