"""`freehold operator …`: initialise, unseal, seal, rotate; look at the running agent."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ui.cli.anchor import Config, anchor_of, root_keys_of
from ui.cli.client import Client
from ui.cli.errors import CliError, Exit
from ui.cli.output import Format, tell
from ui.cli.route import route
from ui.cli.session import session, shown
from ui.cli.source import read_line

app = typer.Typer(
    help="Run the vault: init, unseal, seal, rotate, generate-root, rekey.", no_args_is_help=True
)


SHARES: Final = 5
THRESHOLD: Final = 3

KeyConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        dir_okay=False,
        help="The agent's configuration: take its key file as the share.",
    ),
]


def _offer(client: Client, path: str, config: Path | None, **more: object) -> Any:
    """What offering a share is answered: the key file's, or one that is asked for.

    There may be two key files, one of which is in force. Raises `CliError`.
    """
    *first, last = [read_line("Share")] if config is None else root_keys_of(config)
    for share in first:
        try:
            return client.call("PUT", path, {"key": share, **more})
        except CliError as error:
            if error.exit_code is not Exit.ERROR:
                raise
    try:
        return client.call("PUT", path, {"key": last, **more})
    except CliError as error:
        if config is None or error.exit_code is not Exit.ERROR:
            raise
        raise CliError(f"{error}; is {config} the configuration of this vault's agent?") from None


@contextmanager
def _attempt(client: Client, path: str, body: object) -> Iterator[Mapping[str, Any]]:
    """One that is begun for the block, and given up when the block fails."""
    begun = client.call("PUT", path, body)
    try:
        yield begun
    except CliError:
        with suppress(CliError):  # sealed or gone, and the attempt with it
            client.call("DELETE", path)
        raise


@app.command()
@shown
def init(
    context: typer.Context,
    shares: Annotated[int | None, typer.Option(help=f"How many shares; {SHARES}.")] = None,
    threshold: Annotated[int | None, typer.Option(help=f"How many unseal; {THRESHOLD}.")] = None,
) -> None:
    """Initialise a new vault. Shows the shares and the root token, once."""
    current = session(context)
    given = shares is not None or threshold is not None
    if given and current.client.call("GET", "/v1/sys/seal-status")["type"] == "file":
        raise CliError(
            "this vault has a key file (encryption.key_management: file) and no shares: leave out "
            "--shares and --threshold, or set key_management: shamir and restart the agent",
            Exit.USAGE,
        )
    body = {
        "secret_shares": SHARES if shares is None else shares,
        "secret_threshold": THRESHOLD if threshold is None else threshold,
    }
    told = current.client.call("PUT", "/v1/sys/init", body)
    current.show(_keys(told["root_token"], told["keys_base64"], lined=current.form is Format.TABLE))
    if told["keys_base64"]:
        tell("Give each share to another person now; nothing keeps a copy.")
    else:
        tell(
            "There are no shares: the vault unseals by itself, from the key file that "
            "`encryption.key_file` in the agent's configuration names. Back that file up, apart "
            "from the data: without it nobody opens the vault."
        )


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
    config: KeyConfig = None,
) -> None:
    """Offer one share, asked for without echo (or read from stdin).

    A vault with `key_management: file` that was sealed on order takes what its key file holds: give
    `--config`, on the agent's machine.
    """
    current = session(context)
    if reset:
        told = current.client.call("PUT", _UNSEAL, {"reset": True})
    else:
        told = _offer(current.client, _UNSEAL, config)
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


@app.command()
@shown
def rewrap(
    context: typer.Context,
    retire: Annotated[
        bool, typer.Option("--retire", help="Then drop the older keys, which nothing needs.")
    ] = False,
) -> None:
    """Put the data keys of older values under the newest key-encryption key, now.

    The agent does it by itself after a rotation. `--retire` looks at every version first, whatever
    was done before; values of a database that is put back bring their own keys.
    """
    current = session(context)
    moved, again = 0, retire
    while True:
        step = current.client.call("POST", route("system/rewrap"), {"again": again})
        moved, again = moved + step["versions"], False
        if step["complete"]:
            break
        tell(f"{step['looked_at']} versions looked at, {moved} moved")
    result = {"generation": step["generation"], "versions": moved}
    if retire:
        told = current.client.call("POST", route("system/retire-keys"))
        result["retired"] = told["generations"]
    current.show(result)


@app.command("accept-rollback")
def accept_rollback(
    reason: Annotated[str, typer.Option(help="Why it is meant; goes into the audit log.")],
    config: Config = None,
    anchor: Annotated[Path | None, typer.Option(help="The anchor file, instead.")] = None,
) -> None:
    """Let the vault open once although database, audit log or anchor was set back.

    Run it on the agent's machine, as the agent's user, after reading why it stays sealed; then
    unseal it, with `key_management: file` too: start the agent, which stays sealed, and run
    `freehold operator unseal --config FILE`. It counts for an hour and one opening, which is on
    record in the audit log.
    """
    file = _accept(config, anchor, reason, "accept")
    tell(f"Accepted for one hour and one opening: {file}")
    tell(
        "Unseal the vault now; a key file alone does not: `freehold operator unseal --config FILE`."
    )


@app.command("confirm-clock")
def confirm_clock(
    reason: Annotated[str, typer.Option(help="Why it is right; goes into the audit log.")],
    config: Config = None,
    anchor: Annotated[Path | None, typer.Option(help="The anchor file, instead.")] = None,
) -> None:
    """Tell the agent that the machine's clock is right, though it is far from the agent's time.

    If the clock is a week ahead, nothing is deleted by age until then. If it is behind, what
    expires does so by the agent's time until then. Run it on the agent's machine, as the agent's
    user, after looking at the clock. An agent that runs takes it within a minute.
    """
    file = _accept(config, anchor, reason, "clock")
    tell(f"The clock is confirmed for the agent that reads this within an hour: {file}")


def _accept(config: Path | None, anchor: Path | None, reason: str, subject: str) -> Path:
    """Leave an acceptance beside the anchor; where it is."""
    from actors.world import SystemWorld
    from vault.seal.anchor import acceptance

    file = anchor_of(config, anchor)
    if file is None:
        raise typer.BadParameter("give the agent's --config, or the --anchor file itself")
    if not 1 <= len(reason) <= acceptance.MAX_REASON:
        raise typer.BadParameter(f"--reason takes 1 to {acceptance.MAX_REASON} characters")
    place = acceptance.acceptance_path(file, acceptance.AcceptanceSubject(subject))
    try:
        acceptance.write_acceptance(
            file,
            acceptance.Acceptance(SystemWorld().now(), reason),
            acceptance.AcceptanceSubject(subject),
        )
    except OSError as error:
        raise CliError(f"cannot write {place}: {error.strerror}") from None
    return place


@app.command("generate-root")
@shown
def generate_root(
    context: typer.Context,
    init: Annotated[bool, typer.Option("--init", help="Begin; shows what masks it.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show how far it is.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Give it up.")] = False,
    decode: Annotated[str, typer.Option(help="A masked token, to be unmasked with --otp.")] = "",
    otp: Annotated[str, typer.Option(help="The one-time password that --init has shown.")] = "",
    config: KeyConfig = None,
) -> None:
    """Make a root token with shares of the root key, as when the last one is lost.

    One person begins with `--init` and keeps the one-time password. Each holder of a share offers
    it with the command alone; the last one gets the masked token, which the first one unmasks with
    `--decode` and `--otp`. With `key_management: file`, `--config` does all of it at once, on the
    agent's machine. No token is needed.
    """
    current = session(context)
    if decode or otp:
        current.show({"root_token": _unmasked(decode, otp)})
        return
    if cancel:
        current.client.call("DELETE", _ROOT)
        return
    if init:
        made = current.client.call("PUT", _ROOT, {})
        current.show({name: made[name] for name in ("nonce", "otp", "progress", "required")})
        return
    if config is not None:
        with _attempt(current.client, _ROOT, {}) as begun:
            done = _offer(current.client, _ROOT_SHARES, config, nonce=begun["nonce"])
        current.show({"root_token": _unmasked(done["encoded_token"], begun["otp"])})
        return
    state = current.client.call("GET", _ROOT)
    if not status:
        _need_begun(state, "generate-root")
        body = {"key": read_line("Share"), "nonce": state["nonce"]}
        state = current.client.call("PUT", _ROOT_SHARES, body)
    names = ("nonce", "started", "progress", "required", "complete", "encoded_token")
    current.show({name: state[name] for name in names})


@app.command()
@shown
def rekey(
    context: typer.Context,
    init: Annotated[bool, typer.Option("--init", help="Begin.")] = False,
    shares: Annotated[int, typer.Option(help="How many new shares to make.")] = 5,
    threshold: Annotated[int, typer.Option(help="How many of them unseal.")] = 3,
    verify: Annotated[bool, typer.Option("--verify", help="Show a new share.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show how far it is.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Give it up.")] = False,
    config: KeyConfig = None,
) -> None:
    """Replace the root key: new shares, or a new key in the key file.

    Begin with `--init`; then each holder offers an old share with the command alone, and the last
    one gets the new shares. They are in force once enough of them were shown with `--verify`: until
    then the old ones are. With `key_management: file`, `--config` does all of it at once, on the
    agent's machine. Takes a token that may `sudo` on `sys/rekey`.
    """
    current = session(context)
    if cancel:
        current.client.call("DELETE", _REKEY)
        return
    if config is not None:
        body = {"secret_shares": 1, "secret_threshold": 1}
        with _attempt(current.client, _REKEY, body) as begun:
            done = _offer(current.client, _REKEY_SHARES, config, nonce=begun["nonce"])
        if done.get("warnings"):
            raise CliError(f"another root key was made: {'; '.join(done['warnings'])}")
        tell(
            "The key file holds another key now. Back it up; the old one opens older backups only."
        )
        return
    if init:
        body = {
            "secret_shares": shares, "secret_threshold": threshold, "require_verification": True
        }  # fmt: skip
        current.show(_rekey_state(current.client.call("PUT", _REKEY, body)))
        return
    state = current.client.call("GET", _REKEY)
    if status:
        current.show({**_rekey_state(state), **_verification(current.client, state)})
        return
    _need_begun(state, "rekey")
    nonce = state["verification_nonce"] if verify else state["nonce"]
    path = _REKEY_PROOF if verify else _REKEY_SHARES
    done = current.client.call("PUT", path, {"key": read_line("Share"), "nonce": nonce})
    if done.get("keys_base64"):
        made = done["keys_base64"]
        lined = current.form is Format.TABLE
        current.show(
            {f"share_{n}": s for n, s in enumerate(made, 1)} if lined else {"shares": made}
        )
        tell(
            "Give each share to another person now. They count once enough of them were shown with "
            "`freehold operator rekey --verify`; until then keep the old ones."
        )
    elif done.get("complete"):
        current.show({"complete": True})
        tell("The new shares are in force. The old ones open older backups only.")
    else:
        names = ("progress", "required", "t")
        current.show({name: done[name] for name in names if name in done})


_UNSEAL: Final = "/v1/sys/unseal"
_ROOT: Final = "/v1/sys/generate-root/attempt"
_ROOT_SHARES: Final = "/v1/sys/generate-root/update"
_REKEY: Final = "/v1/sys/rekey/init"
_REKEY_SHARES: Final = "/v1/sys/rekey/update"
_REKEY_PROOF: Final = "/v1/sys/rekey/verify"


def _rekey_state(state: Mapping[str, object]) -> Mapping[str, object]:
    names = ("nonce", "started", "n", "t", "progress", "required", "verification_nonce")
    return {name: state[name] for name in names}


def _verification(client: Client, state: Mapping[str, object]) -> Mapping[str, object]:
    """How many of the new shares were shown, once they are made: no old one is needed then."""
    if not state["verification_nonce"]:
        return {}
    shown = client.call("GET", _REKEY_PROOF)
    return {"progress": shown["progress"], "required": shown["t"], "next": "rekey --verify"}


def _need_begun(state: Mapping[str, object], command: str) -> None:
    if not state["started"]:
        raise CliError(f"nothing was begun: run `freehold operator {command} --init` first")


def _unmasked(token: str, otp: str) -> str:
    """The token: base64 without padding of token XOR one-time password. Raises `CliError`."""
    if not (token and otp):
        missing = "--decode, the masked token," if otp else "--otp, which --init has shown,"
        raise CliError(f"{missing} is missing: --decode and --otp go together", Exit.USAGE)
    try:
        mixed = b64decode(token + "=" * (-len(token) % 4), validate=True)
    except ValueError:
        raise CliError(
            "--decode is not a masked token: it takes the encoded_token that the last share has "
            "shown, whole",
            Exit.USAGE,
        ) from None
    try:
        return bytes(a ^ b for a, b in zip(mixed, otp.encode(), strict=True)).decode("ascii")
    except ValueError:
        raise CliError(
            "--otp is not of the same attempt as --decode: take what its --init has shown",
            Exit.USAGE,
        ) from None


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
