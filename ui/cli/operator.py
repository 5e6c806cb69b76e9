"""`freehold operator …`: initialise, unseal, seal, rotate; look at the running agent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ui.cli.anchor import Config, anchor_of
from ui.cli.errors import CliError
from ui.cli.output import Format, tell
from ui.cli.route import route
from ui.cli.session import session, shown
from ui.cli.source import read_line

app = typer.Typer(help="Run the vault: init, unseal, seal, rotate.", no_args_is_help=True)


@app.command()
@shown
def init(
    context: typer.Context,
    shares: Annotated[int, typer.Option(help="How many shares to make.")] = 5,
    threshold: Annotated[int, typer.Option(help="How many of them unseal.")] = 3,
) -> None:
    """Initialise a new vault. Shows the shares and the root token, once."""
    current = session(context)
    body = {"secret_shares": shares, "secret_threshold": threshold}
    told = current.client.call("PUT", "/v1/sys/init", body)
    current.show(_keys(told["root_token"], told["keys_base64"], lined=current.form is Format.TABLE))
    if told["keys_base64"]:
        tell("Give each share to another person now; nothing keeps a copy.")
    else:
        tell("There are no shares: the vault unseals by itself, from its key file. Back that up.")


def _keys(root_token: str, shares: list[str], *, lined: bool) -> Mapping[str, object]:
    """What a new vault has told; `lined`: each share on its own, since each goes its own way."""
    if not lined:
        return {"root_token": root_token, "shares": shares}
    return {**{f"share_{n}": share for n, share in enumerate(shares, 1)}, "root_token": root_token}


@app.command()
@shown
def unseal(
    context: typer.Context,
    reset: Annotated[bool, typer.Option("--reset", help="Forget the shares given so far.")] = False,
) -> None:
    """Offer one share, asked for without echo (or read from stdin)."""
    current = session(context)
    body: dict[str, object] = {"reset": True} if reset else {"key": read_line("Share")}
    told = current.client.call("PUT", "/v1/sys/unseal", body)
    current.show({name: told[name] for name in ("sealed", "t", "n", "progress")})


@app.command()
def seal(context: typer.Context) -> None:
    """Seal the vault: it answers nothing until it is unsealed again."""
    session(context).client.call("POST", route("system/seal"))


@app.command()
@shown
def rotate(context: typer.Context) -> None:
    """Make a new key-encryption key; older values keep theirs and stay readable."""
    current = session(context)
    current.show(current.client.call("POST", route("system/rotate")))


@app.command("accept-rollback")
def accept_rollback(
    reason: Annotated[str, typer.Option(help="Why it is meant; goes into the audit log.")],
    config: Config = None,
    anchor: Annotated[Path | None, typer.Option(help="The anchor file, instead.")] = None,
) -> None:
    """Let the vault open once although database, audit log or anchor was set back.

    Run it on the agent's machine, as the agent's user, after reading why it stays sealed; then
    start or unseal it. It counts for an hour and one opening, which is on record in the audit log.
    """
    file = _accept(config, anchor, reason, "accept")
    tell(f"Accepted for one hour and one opening: {file}")


@app.command("confirm-clock")
def confirm_clock(
    reason: Annotated[str, typer.Option(help="Why it is right; goes into the audit log.")],
    config: Config = None,
    anchor: Annotated[Path | None, typer.Option(help="The anchor file, instead.")] = None,
) -> None:
    """Tell the agent that the machine's clock is right although it has jumped ahead.

    Until then it deletes nothing by age. Run it on the agent's machine, as the agent's user, after
    looking at the clock. An agent that runs takes it within a minute; one that starts within the
    hour also forgets a later time that it remembers.
    """
    file = _accept(config, anchor, reason, "clock")
    tell(f"The clock is confirmed for the agent that reads this within an hour: {file}")


def _accept(config: Path | None, anchor: Path | None, reason: str, subject: str) -> Path:
    """Leave an acceptance beside the anchor; where it is."""
    from actors.world import SystemWorld
    from vault.anchor import acceptance

    file = anchor_of(config, anchor)
    if file is None:
        raise typer.BadParameter("give the agent's --config, or the --anchor file itself")
    if not 1 <= len(reason) <= acceptance.MAX_REASON:
        raise typer.BadParameter(f"--reason takes 1 to {acceptance.MAX_REASON} characters")
    place = acceptance.path_of(file, acceptance.Subject(subject))
    try:
        acceptance.write(
            file, acceptance.Acceptance(SystemWorld().now(), reason), acceptance.Subject(subject)
        )
    except OSError as error:
        raise CliError(f"cannot write {place}: {error.strerror}") from None
    return place


@app.command("key-status")
@shown
def key_status(context: typer.Context) -> None:
    """Show the key-encryption key's generation, age and counted uses."""
    current = session(context)
    current.show(current.client.call("GET", route("system/key-status")))


@app.command()
@shown
def cache(context: typer.Context) -> None:
    """Show how the cache of sealed rows is set, and how it does."""
    current = session(context)
    current.show(current.client.call("GET", route("system/cache")))


@app.command()
@shown
def actors(context: typer.Context) -> None:
    """Show the agent's actors: mailbox depth, restarts, time per message."""
    current = session(context)
    current.show(current.client.call("GET", route("system/actors"))["actors"])
