"""`freehold control ca …`: the authority's files, on the machine where they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui.cli.errors import CliError, Exit
from ui.cli.output import tell
from ui.cli.session import session, shown

if TYPE_CHECKING:
    from control.ca.directory import CaDirectory

app = typer.Typer(help="The control plane's certificate authority.", no_args_is_help=True)
rollover = typer.Typer(help="From one root to the next.", no_args_is_help=True)
app.add_typer(rollover, name="rollover")

Directory = Annotated[
    Path, typer.Option("--directory", "-d", help="The authority's directory.", envvar="FREEHOLD_CA")
]
RootFolder = Annotated[
    Path, typer.Option(help="Folder for the root's key: take it away afterwards.")
]
Label = Annotated[str, typer.Option(help="What its certificates are called.")]
Force = Annotated[bool, typer.Option("--force", help="Without the wait.")]

DEFAULT = Path("ca")
LABEL = "Freehold"


@app.command()
@shown
def init(
    context: typer.Context,
    root: RootFolder,
    directory: Directory = DEFAULT,
    label: Label = LABEL,
) -> None:
    """Make a root and an intermediate; the root's key goes to a folder of its own."""
    with _told():
        _directory(directory).create_authority(root, label, _now())
        session(context).show(_summary(directory))
    _take_away(root)


@app.command()
@shown
def show(context: typer.Context, directory: Directory = DEFAULT) -> None:
    """Show the pin that agents need, the phase, and when each authority expires."""
    with _told():
        session(context).show(_summary(directory))


@app.command("intermediate-request")
def intermediate_request(
    directory: Directory = DEFAULT,
    label: Label = LABEL,
) -> None:
    """Make the intermediate's key and print the request that your own root is to sign."""
    with _told():
        request = _directory(directory).create_request(f"{label} intermediate")
    typer.echo(request.decode(), nl=False)


@app.command("intermediate-install")
@shown
def intermediate_install(
    context: typer.Context,
    certificate: Annotated[Path, typer.Argument(help="What your root signed, in PEM.")],
    root: Annotated[Path, typer.Argument(help="Your root's certificate, in PEM.")],
    directory: Directory = DEFAULT,
) -> None:
    """Take the intermediate that your own root signed."""
    from protocols.pki.files import read_file

    with _told():
        _directory(directory).install_intermediate(read_file(certificate), read_file(root))
        session(context).show(_summary(directory))


@app.command("intermediate-renew")
@shown
def intermediate_renew(
    context: typer.Context,
    root: Annotated[Path, typer.Option(help="Folder with the root's key.")],
    directory: Directory = DEFAULT,
) -> None:
    """Certify the intermediate for another year, with the root's key brought back for it."""
    from control.ca.directory import load_root

    _move(context, directory, lambda ca: ca.renew_intermediate(load_root(root), _now()))
    _take_away(root)


@rollover.command()
@shown
def start(
    context: typer.Context,
    old_root: Annotated[Path, typer.Option(help="Folder with the present root's key.")],
    new_root: Annotated[Path, typer.Option(help="Folder for the next root's key.")],
    directory: Directory = DEFAULT,
    label: Label = LABEL,
) -> None:
    """Make the next root, have the present one certify it, and announce it to agents."""
    from control.ca.directory import load_root

    with _told():
        _directory(directory).rollover_start(load_root(old_root), new_root, label, _now())
        session(context).show(_summary(directory))
    _take_away(new_root)


@rollover.command()
def request(directory: Directory = DEFAULT, label: Label = LABEL) -> None:
    """Print the request that your own next root is to sign: the next intermediate's."""
    with _told():
        made = _directory(directory).rollover_request(f"{label} intermediate")
    typer.echo(made.decode(), nl=False)


@rollover.command()
@shown
def adopt(
    context: typer.Context,
    certificate: Annotated[Path, typer.Argument(help="What your next root signed, in PEM.")],
    root: Annotated[Path, typer.Argument(help="Your next root's certificate, in PEM.")],
    cross: Annotated[
        Path | None,
        typer.Option(help="Your next root as certified by the present one, if that is yours too."),
    ] = None,
    old_root: Annotated[
        Path | None, typer.Option(help="Or the folder with the present root's key.")
    ] = None,
    directory: Directory = DEFAULT,
) -> None:
    """Announce a next root of your own to agents, once both roots have signed."""
    from control.ca.directory import load_root
    from protocols.pki.files import read_file

    if (cross is None) == (old_root is None):
        raise CliError("say --cross FILE or --old-root FOLDER: who certifies the next root?")
    with _told():
        leads = read_file(cross) if cross is not None else load_root(old_root or Path())
        _directory(directory).rollover_adopt(read_file(certificate), read_file(root), leads, _now())
        session(context).show(_summary(directory))
    if old_root is not None:
        _take_away(old_root)


@rollover.command()
@shown
def switch(
    context: typer.Context,
    directory: Directory = DEFAULT,
    force: Force = False,
) -> None:
    """Issue from the next authority, once every agent knows its root."""
    _move(context, directory, lambda ca: ca.rollover_switch(_now(), force=force))


@rollover.command()
@shown
def finish(
    context: typer.Context,
    directory: Directory = DEFAULT,
    force: Force = False,
) -> None:
    """Trust the old root no more. With --force, not even to lead stragglers to the new one."""
    _move(context, directory, lambda ca: ca.rollover_finish(_now(), force=force))


def _move(context: typer.Context, directory: Path, step: "Callable[[CaDirectory], object]") -> None:
    with _told():
        step(_directory(directory))
        session(context).show(_summary(directory))


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


def _take_away(folder: Path) -> None:
    tell(f"Take {folder} away from this machine: its key can make any authority.")


@contextmanager
def _told() -> Iterator[None]:
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
