"""`freehold operator …`: initialise, unseal, seal, rotate; look at the running agent."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ui.cli.agent_files import Config, leave_acceptance, unseal_keys
from ui.cli.break_glass import app as break_glass
from ui.cli.client import ApiClient
from ui.cli.command_group import CommandGroup
from ui.cli.context import api_path, cli_context
from ui.cli.errors import CliError, Exit
from ui.cli.input import read_secret_line
from ui.cli.output import OutputFormat, print_note

app = CommandGroup("Initialize, unseal and seal the vault; manage its keys.")
keys = CommandGroup("The key-encryption key.")
cache_group = CommandGroup("The cache of encrypted rows.")
actors_group = CommandGroup("The actors of the running agent.")
app.add_group(keys, "key")
app.add_group(cache_group, "cache")
app.add_group(actors_group, "actor")
app.add_group(break_glass, "break-glass")


SHARES: Final = 5
THRESHOLD: Final = 3

KeyConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        dir_okay=False,
        help="The agent's configuration file: use its key file as the share.",
    ),
]


def _submit_share(
    client: ApiClient, path: str, config: Path | None, method: str = "PUT", **more: object
) -> Any:
    """What offering a share is answered: the key file's, or one that is asked for.

    There may be several key files, one of which is in force. Raises `CliError`.
    """
    *first, last = [read_secret_line("Share")] if config is None else unseal_keys(config)
    for share in first:
        try:
            return client.call(method, path, {"key": share, **more})
        except CliError as error:
            if error.exit_code is not Exit.ERROR:
                raise
    try:
        return client.call(method, path, {"key": last, **more})
    except CliError as error:
        if config is None or error.exit_code is not Exit.ERROR:
            raise
        raise CliError(f"{error}; is {config} the configuration of this vault's agent?") from None


@contextmanager
def _attempt(client: ApiClient, path: str, body: object) -> Iterator[Mapping[str, Any]]:
    """One that is begun for the block, and given up when the block fails."""
    begun = client.call("PUT", path, body)
    try:
        yield begun
    except CliError:
        with suppress(CliError):  # sealed or gone, and the attempt with it
            client.call("DELETE", path)
        raise


@app.command("freehold operator init", "freehold operator init --shares 5 --threshold 3")
def init(
    context: typer.Context,
    shares: Annotated[int | None, typer.Option(help=f"Number of shares; {SHARES}.")] = None,
    threshold: Annotated[
        int | None, typer.Option(help=f"Number of shares that unseal; {THRESHOLD}.")
    ] = None,
) -> None:
    """Initialize a new vault. The shares and the root token are shown once."""
    current = cli_context(context)
    given = shares is not None or threshold is not None
    seal = current.client.call("GET", "/v1/sys/seal-status")
    if given and seal["type"] == "file":
        raise CliError(
            "this vault has a key file (encryption.key_management: file) and no shares: leave out "
            "--shares and --threshold, or set key_management: shamir and restart the agent",
            Exit.USAGE,
        )
    kind = "recovery" if seal["recovery_seal"] else "secret"
    body = {
        f"{kind}_shares": SHARES if shares is None else shares,
        f"{kind}_threshold": THRESHOLD if threshold is None else threshold,
    }
    told = current.client.call("PUT", "/v1/sys/init", body)
    recovery = told.get("recovery_keys_base64", [])
    current.print_result(
        _keys(
            told["root_token"],
            recovery or told["keys_base64"],
            "recovery_share" if recovery else "share",
            lined=current.output_format is OutputFormat.TABLE,
        )
    )
    for warning in told.get("warnings") or ():
        print_note(warning)
    if recovery:
        print_note(
            f"The vault unseals itself with its key provider ({seal['type']}). Give each recovery "
            "share to another person now: no copy is stored. They end a seal that was ordered, "
            "and make a root token; without the provider they open nothing."
        )
    elif told["keys_base64"]:
        print_note("Give each share to another person now: no copy is stored.")
    else:
        print_note(
            "There are no shares: the vault unseals itself with the key file (encryption.key_file "
            "in the agent's configuration). Back that file up, apart from the data: without it "
            "nobody can unseal the vault."
        )


def _keys(root_token: str, shares: list[str], name: str, *, lined: bool) -> Mapping[str, object]:
    """What a new vault has told; `lined`: each share on its own, since each goes its own way."""
    if not lined:
        return {"root_token": root_token, f"{name}s": shares}
    return {**{f"{name}_{n}": share for n, share in enumerate(shares, 1)}, "root_token": root_token}


@app.command(
    "freehold operator unseal", "freehold operator unseal --config /etc/freehold/vault.yaml"
)
def unseal(
    context: typer.Context,
    reset: Annotated[
        bool, typer.Option("--reset", help="Discard the shares entered so far.")
    ] = False,
    config: KeyConfig = None,
) -> None:
    """Enter one share, asked for without echo or read from stdin.

    Where a key provider unseals the vault, recovery shares unseal it after `operator seal`.
    A vault with `key_management: file` that was sealed by `operator seal` takes the key in its key
    file: give `--config`, on the agent's machine.
    """
    current = cli_context(context)
    if reset:
        told = current.client.call("PUT", _UNSEAL, {"reset": True})
    else:
        told = _submit_share(current.client, _UNSEAL, config)
    current.print_result({name: told[name] for name in ("sealed", "t", "n", "progress")})


@app.command("freehold operator seal")
def seal(context: typer.Context) -> None:
    """Seal the vault: it serves no secret until it is unsealed again."""
    cli_context(context).client.call("POST", api_path("system/seal"))
    print_note("the vault is sealed")


@app.command("freehold operator rotate")
def rotate(context: typer.Context) -> None:
    """Create a new key-encryption key; older values stay readable."""
    current = cli_context(context)
    current.print_result(current.client.call("POST", api_path("system/rotate")))


@app.command("freehold operator rotate-root", name="rotate-root")
def rotate_root(
    context: typer.Context,
    new_root_key: Annotated[
        bool, typer.Option("--new-root-key", help="Replace the root key, too.")
    ] = False,
) -> None:
    """Wrap the root key by the newest version of the key in the HSM or cloud.

    With `create_key: true` the agent makes that version; else make it with the provider's tools
    before. The vault stays open, and no secret changes. Of several key providers all are rotated;
    `skipped` are those that do not answer, which follow by themselves. `--new-root-key` makes
    another root key, so that what a provider has ever unwrapped opens nothing any more: other
    agents of the vault open anew, within seconds. It needs a token with the capability `sudo` on
    `sys/rotate-root`.
    """
    current = cli_context(context)
    body = {"new_root_key": True} if new_root_key else {}
    current.print_result(current.client.call("POST", api_path("system/rotate-root"), body))


@app.command("freehold operator rewrap", "freehold operator rewrap --retire")
def rewrap(
    context: typer.Context,
    retire: Annotated[
        bool, typer.Option("--retire", help="Then delete older keys that no value needs.")
    ] = False,
) -> None:
    """Encrypt the data keys of older values with the newest key-encryption key, now.

    The agent does this by itself after a rotation. With `--retire`, every version is checked first.
    A restored database brings the keys of its values with it.
    """
    current = cli_context(context)
    moved, again = 0, retire
    while True:
        step = current.client.call("POST", api_path("system/rewrap"), {"again": again})
        moved, again = moved + step["versions"], False
        if step["complete"]:
            break
        print_note(f"{step['looked_at']} versions looked at, {moved} moved")
    result = {"generation": step["generation"], "versions": moved}
    if retire:
        told = current.client.call("POST", api_path("system/retire-keys"))
        result["retired"] = told["generations"]
    current.print_result(result)


@app.command(
    "freehold operator migrate-seal",
    "freehold operator migrate-seal --status",
    "freehold operator migrate-seal --config /etc/freehold/vault.yaml",
)
def migrate_seal(
    context: typer.Context,
    status: Annotated[bool, typer.Option("--status", help="Show the progress.")] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Discard the shares entered so far.")
    ] = False,
    config: KeyConfig = None,
) -> None:
    """Move the root key to the seal of the agent's configuration: enter one share.

    Configure the new seal in `encryption`, and the present one in `encryption.migrate_from`, and
    restart the agents, which go on with the present one. Then each holder of a share, or with a key
    provider of a recovery share, runs this command; the last one moves the root key. The vault goes
    on serving, and the shares stay valid: with a key provider they are recovery shares. From a key
    file, give `--config`, on the agent's machine. It needs a token with the capability `sudo` on
    `sys/seal-migration`; while the vault is sealed none is needed, and the last share unseals it.
    """
    current = cli_context(context)
    if cancel:
        current.client.call("DELETE", _MIGRATION)
        return
    sealed = current.client.call("GET", "/v1/sys/seal-status")
    if sealed["sealed"]:
        if not status:
            sealed = _submit_share(current.client, _UNSEAL, config, migrate=True)
        names = ("sealed", "migration", "type", "progress", "t")
        current.print_result({name: sealed[name] for name in names})
        return
    if status:
        told = current.client.call("GET", _MIGRATION)
    else:
        told = _submit_share(current.client, _MIGRATION, config, "POST")
    current.print_result({name: value for name, value in told.items() if name != "warning"})
    if told["warning"]:
        raise CliError(f"the root key has moved, but: {told['warning']}")
    if told["complete"] and told["source"] == "file":
        print_note(
            "what the former key file holds is the one share now: replace it with `freehold "
            "operator rekey --init`, and keep the file for backups of before"
        )
    elif told["complete"]:
        print_note("keep what opened the vault before: it opens the backups of before")


@app.command(
    "freehold operator accept-rollback --reason 'restored from backup' "
    "--config /etc/freehold/vault.yaml"
)
def accept_rollback(
    reason: Annotated[str, typer.Option(help="Why; recorded in the audit log.")],
    config: Config = None,
    anchor: Annotated[
        Path | None, typer.Option(help="The anchor file, in place of --config.")
    ] = None,
) -> None:
    """Let the vault unseal once although its database, audit log or anchor was rolled back.

    Run it on the agent's machine, as the agent's user, after you have read why the vault stays
    sealed. Then unseal it; with `key_management: file` too: start the agent, which stays sealed,
    and run `freehold operator unseal --config FILE`. It is valid for one hour and one unsealing,
    which the audit log records.
    """
    file = leave_acceptance(config, anchor, reason, "accept")
    print_note(f"accepted for one hour and one unsealing: {file}")
    print_note(
        "unseal the vault now, with a key file too: `freehold operator unseal --config FILE`"
    )


@app.command(
    "freehold operator confirm-clock --reason 'clock was set' --config /etc/freehold/vault.yaml"
)
def confirm_clock(
    reason: Annotated[str, typer.Option(help="Why; recorded in the audit log.")],
    config: Config = None,
    anchor: Annotated[
        Path | None, typer.Option(help="The anchor file, in place of --config.")
    ] = None,
) -> None:
    """Confirm that this machine's clock is right, although it jumped.

    While the clock is a week or more ahead of the agent's time, nothing is deleted by age. While it
    is behind, expiry follows the agent's time. Run it on the agent's machine, as the agent's user,
    after you have checked the clock. A running agent accepts it within a minute.
    """
    file = leave_acceptance(config, anchor, reason, "clock")
    print_note(f"the clock is confirmed, for an agent that reads this within an hour: {file}")


@app.command(
    "freehold operator generate-root --init",
    "freehold operator generate-root",
    "freehold operator generate-root --decode TOKEN --otp OTP",
    "freehold operator generate-root --config /etc/freehold/vault.yaml",
)
def generate_root(
    context: typer.Context,
    init: Annotated[
        bool, typer.Option("--init", help="Begin; prints the one-time password.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the progress.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel it.")] = False,
    decode: Annotated[str, typer.Option(help="The encoded token, to be decoded with --otp.")] = "",
    otp: Annotated[str, typer.Option(help="The one-time password that --init printed.")] = "",
    config: KeyConfig = None,
) -> None:
    """Create a root token with shares of the root key, for example when the last one is lost.

    One person begins with `--init` and keeps the one-time password. Each holder of a share runs the
    command without options and enters it; the last one gets the encoded token. The first person
    decodes it with `--decode` and `--otp`. With `key_management: file`, `--config` does all of this
    at once, on the agent's machine. No token is needed.
    """
    current = cli_context(context)
    if decode or otp:
        current.print_result({"root_token": _unmasked(decode, otp)})
        return
    if cancel:
        current.client.call("DELETE", _ROOT)
        return
    if init:
        made = current.client.call("PUT", _ROOT, {})
        current.print_result(
            {name: made[name] for name in ("nonce", "otp", "progress", "required")}
        )
        return
    if config is not None:
        with _attempt(current.client, _ROOT, {}) as begun:
            done = _submit_share(current.client, _ROOT_SHARES, config, nonce=begun["nonce"])
        current.print_result({"root_token": _unmasked(done["encoded_token"], begun["otp"])})
        return
    state = current.client.call("GET", _ROOT)
    if not status:
        _require_begun(state, "generate-root")
        body = {"key": read_secret_line("Share"), "nonce": state["nonce"]}
        state = current.client.call("PUT", _ROOT_SHARES, body)
    names = ("nonce", "started", "progress", "required", "complete", "encoded_token")
    current.print_result({name: state[name] for name in names})


@app.command(
    "freehold operator rekey --init --shares 5 --threshold 3",
    "freehold operator rekey",
    "freehold operator rekey --verify",
    "freehold operator rekey --config /etc/freehold/vault.yaml",
)
def rekey(
    context: typer.Context,
    init: Annotated[bool, typer.Option("--init", help="Begin.")] = False,
    shares: Annotated[int, typer.Option(help="Number of new shares.")] = 5,
    threshold: Annotated[int, typer.Option(help="Number of shares that unseal.")] = 3,
    verify: Annotated[
        bool, typer.Option("--verify", help="Enter a new share, to verify it.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the progress.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel it.")] = False,
    config: KeyConfig = None,
) -> None:
    """Replace the root key: new shares, or a new key in the key file. With an HSM: recovery shares.

    Begin with `--init`. Then each holder of an old share runs the command without options and
    enters it; the last one gets the new shares. Once enough new shares are entered with `--verify`,
    they replace the old ones. With `key_management: file`, `--config` does all of this at once, on
    the agent's machine. It needs a token with the capability `sudo` on `sys/rekey`.
    """
    current = cli_context(context)
    if cancel:
        current.client.call("DELETE", _REKEY)
        return
    if config is not None:
        body = {"secret_shares": 1, "secret_threshold": 1}
        with _attempt(current.client, _REKEY, body) as begun:
            done = _submit_share(current.client, _REKEY_SHARES, config, nonce=begun["nonce"])
        if done.get("warnings"):
            raise CliError(f"the root key is replaced, but: {'; '.join(done['warnings'])}")
        print_note(
            "the key file holds the new key: back it up; the old key opens older backups only"
        )
        return
    if init:
        body = {
            "secret_shares": shares, "secret_threshold": threshold, "require_verification": True
        }  # fmt: skip
        is_recovery = current.client.call("GET", "/v1/sys/seal-status")["recovery_seal"]
        path = _REKEY_RECOVERY if is_recovery else _REKEY
        current.print_result(_rekey_state(current.client.call("PUT", path, body)))
        return
    state = current.client.call("GET", _REKEY)
    if status:
        current.print_result({**_rekey_state(state), **_verification(current.client, state)})
        return
    _require_begun(state, "rekey")
    nonce = state["verification_nonce"] if verify else state["nonce"]
    path = _REKEY_PROOF if verify else _REKEY_SHARES
    done = current.client.call("PUT", path, {"key": read_secret_line("Share"), "nonce": nonce})
    if done.get("keys_base64"):
        made = done["keys_base64"]
        lined = current.output_format is OutputFormat.TABLE
        current.print_result(
            {f"share_{n}": s for n, s in enumerate(made, 1)} if lined else {"shares": made}
        )
        print_note(
            "Give each share to another person now. They replace the old ones once enough of them "
            "are entered with `freehold operator rekey --verify`; until then keep the old ones."
        )
    elif done.get("complete"):
        current.print_result({"complete": True})
        print_note("the new shares are in force; the old ones open older backups only")
    else:
        names = ("progress", "required", "t")
        current.print_result({name: done[name] for name in names if name in done})


_UNSEAL: Final = "/v1/sys/unseal"
_MIGRATION: Final = api_path("system/seal-migration")
_ROOT: Final = "/v1/sys/generate-root/attempt"
_ROOT_SHARES: Final = "/v1/sys/generate-root/update"
_REKEY: Final = "/v1/sys/rekey/init"
_REKEY_RECOVERY: Final = "/v1/sys/rekey-recovery-key/init"
_REKEY_SHARES: Final = "/v1/sys/rekey/update"
_REKEY_PROOF: Final = "/v1/sys/rekey/verify"


def _rekey_state(state: Mapping[str, object]) -> Mapping[str, object]:
    names = ("nonce", "started", "n", "t", "progress", "required", "verification_nonce")
    return {name: state[name] for name in names}


def _verification(client: ApiClient, state: Mapping[str, object]) -> Mapping[str, object]:
    """How many of the new shares were shown, once they are made: no old one is needed then."""
    if not state["verification_nonce"]:
        return {}
    shown = client.call("GET", _REKEY_PROOF)
    return {"progress": shown["progress"], "required": shown["t"], "next": "rekey --verify"}


def _require_begun(state: Mapping[str, object], command: str) -> None:
    if not state["started"]:
        raise CliError(f"no attempt is in progress: run `freehold operator {command} --init` first")


def _unmasked(token: str, otp: str) -> str:
    """The token: base64 without padding of token XOR one-time password. Raises `CliError`."""
    if not (token and otp):
        missing = "--decode, the encoded token," if otp else "--otp, which --init printed,"
        raise CliError(f"{missing} is missing: --decode and --otp go together", Exit.USAGE)
    try:
        mixed = b64decode(token + "=" * (-len(token) % 4), validate=True)
    except ValueError:
        raise CliError(
            "--decode is not an encoded token: give the whole encoded_token that the last share "
            "printed",
            Exit.USAGE,
        ) from None
    try:
        return bytes(a ^ b for a, b in zip(mixed, otp.encode(), strict=True)).decode("ascii")
    except ValueError:
        raise CliError(
            "--otp is not of the same attempt as --decode: give what its --init printed",
            Exit.USAGE,
        ) from None


@keys.command("freehold operator key get", name="get")
def get_key(context: typer.Context) -> None:
    """Show the generation, age and counted uses of the key-encryption key."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("system/key-status")))


@cache_group.command("freehold operator cache get", name="get")
def get_cache(context: typer.Context) -> None:
    """Show settings and statistics of the cache of encrypted rows."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("system/cache")))


@actors_group.command("freehold operator actor list", name="list")
def list_actors(context: typer.Context) -> None:
    """List the agent's actors: mailbox depth, restarts, time per message."""
    current = cli_context(context)
    current.print_result(current.client.call("GET", api_path("system/actors"))["actors"])
