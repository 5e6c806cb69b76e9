"""What `freehold backup restore` and `freehold backup recover` do once the keys are there."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ui.cli.audit_logs import find_logs
from ui.cli.context import CliContext, api_path
from ui.cli.errors import CliError, Exit
from ui.cli.output import OutputFormat, print_note
from ui.cli.progress import progress
from ui.cli.times import instant

if TYPE_CHECKING:
    from ui.cli.client import ApiClient
    from vault.backup.choice import ChosenBackup
    from vault.backup.destinations.interface import Destination
    from vault.backup.diff import BackupDiff
    from vault.backup.later_changes import LaterChanges
    from vault.backup.offline import Identity, RootKey
    from vault.backup.recover import BackupSecret
    from vault.backup.restore import KnownState, RestorePlan, RestoreResult
    from vault.config.settings import Settings

_REPORTED: Final = partial(progress, lines=True)


class RestoreRequest(NamedTuple):
    """What the command line asks for. `at` in Unix ns; `logs` are files, or folders with such."""

    source: "Destination"
    chosen: "ChosenBackup"
    opened: "RootKey"
    identity: "Identity | None"
    settings: "Settings"
    at: int = 0
    keep_tokens: bool = False
    only: tuple[str, ...] = ()
    logs: Sequence[Path] = ()
    ignore_logs: bool = False
    accept_log_faults: bool = False
    keep_erased: bool = False

    def __repr__(self) -> str:
        return f"RestoreRequest({self.chosen.manifest.id!r})"


def choose(source: "Destination", backup: str, *, vault: str, at: int) -> "ChosenBackup":
    """The backup that is meant. Raises as `vault.backup.choice.choose_backup`."""
    from vault.backup.choice import LATEST, choose_backup
    from vault.backup.restore import list_backups, read_named_manifest
    from vault.errors import VaultError

    if backup == LATEST:
        found, faults = list_backups(source)
        for fault in faults:
            print_note(f"Warning: {fault.message}")
        return choose_backup(found, backup, vault=vault, at=at)
    named = read_named_manifest(source, backup)
    try:
        others = [each for each in list_backups(source)[0] if each.id != named.id]
    except VaultError:  # what is wrong with others is no matter here
        others = []
    return choose_backup([named, *others], backup, vault=vault, at=at)


def restore(request: RestoreRequest, *, reason: str) -> dict[str, Any]:
    """Restore into the database of the configuration; what is printed of it."""
    from actors.world import SystemWorld
    from vault.app import make_backend
    from vault.backup.restore import restore_backup

    known = _known(request)
    later = _later_changes(request, known)
    result = restore_backup(
        request.source,
        request.chosen.manifest.id,
        make_backend(request.settings.storage),
        request.opened.keys,
        root_key=request.opened.root_key,
        now=SystemWorld().now(),
        progress=_REPORTED,
        known=known,
        identity=request.identity,
        keep_tokens=request.keep_tokens,
        only=request.only,
        later=later,
        keep_erased=request.keep_erased,
        reason=reason,
        at=request.at,
    )
    return _restored(request, result, later)


def preview(
    context: CliContext, request: RestoreRequest, against: "Settings | None", limit: int
) -> None:
    """Verify everything and print what a restore would do. Nothing is written."""
    from vault.backup.restore import Selection, plan_restore

    later = _later_changes(request, _known(request))
    selection = Selection(request.keep_tokens, request.only, later, request.keep_erased)
    plan = plan_restore(
        request.source,
        request.chosen.manifest.id,
        request.opened.keys,
        progress=_REPORTED,
        identity=request.identity,
        selection=selection,
        count=True,
        at=request.at,
    )
    diff = _compare(request, plan, against, limit)
    manifest = plan.verified.manifest
    shown: dict[str, Any] = {
        "id": manifest.id,
        "created": manifest.created,
        "last_change": instant(plan.verified.time),
        "commits": manifest.commits,
        **_following(request.chosen),
        "rows": plan.rows,
        "tokens_dropped": plan.tokens_dropped,
        "taken_away": plan.changes.counts,
        **_logs_shown(later),
        "differences": {} if diff is None else diff.counts,
    }
    if context.output_format is not OutputFormat.TABLE:
        named = [] if diff is None else msgspec.to_builtins(diff.differences)
        cut = diff is not None and diff.is_cut
        context.print_result(shown | {"compared": diff is not None, "named": named, "cut": cut})
        return
    if diff is not None and diff.differences:
        context.print_result(msgspec.to_builtins(diff.differences))
    context.print_result(shown)
    if diff is not None and diff.is_cut:
        print_note(f"The first {limit} differences are shown: --limit shows more.")


def _restored(
    request: RestoreRequest, result: "RestoreResult", later: "LaterChanges | None"
) -> dict[str, Any]:
    return {
        "backup": result.backup,
        "rows": result.rows,
        "root": result.root,
        "commits": result.commits,
        "epoch": result.epoch,
        "last_change": instant(result.time),
        **_following(request.chosen),
        "tokens_dropped": result.tokens_dropped,
        "taken_away": result.taken_away,
        **_logs_shown(later),
    }


def _following(chosen: "ChosenBackup") -> dict[str, Any]:
    """The next backup, and how many commits lie between: what is lost by not taking that one."""
    following = chosen.following
    if following is None:
        return {"next_backup": "", "commits_until_next": 0}
    between = following.commits - chosen.manifest.commits
    return {
        "next_backup": f"{following.id} ({following.created})",
        "commits_until_next": between,
    }


def _logs_shown(later: "LaterChanges | None") -> dict[str, Any]:
    if later is None:
        return {"audit_logs": [], "missing_logs": [], "log_faults": [], "not_applied": []}
    return {
        "audit_logs": msgspec.to_builtins(later.readings),
        "missing_logs": later.missing_nodes,
        "log_faults": [f"{fault.log}: {fault.problem}" for fault in later.faults],
        "not_applied": msgspec.to_builtins(later.not_applied),
    }


def warn_of_logs(result: dict[str, Any]) -> None:
    """Say what of the later revocations a person has to look at."""
    for fault in result["log_faults"]:
        print_note(f"Warning: accepted: {fault}")
    if result["missing_logs"]:
        nodes = ", ".join(result["missing_logs"])
        print_note(
            f"Warning: no audit log of {nodes}: what was revoked there after the backup is not "
            "known. --audit-log takes a copy of it."
        )
    for one in result["not_applied"]:
        print_note(
            f"Look at {one['operation']} ({one['count']}): {one['reason']}; audit records "
            f"{', '.join(one['records'])}"
        )


def _known(request: RestoreRequest) -> "KnownState":
    from vault.backup.offline import read_known_state

    settings = request.settings
    return read_known_state(settings.anchor_file, settings.audit_log, request.opened.keys)


def _later_changes(request: RestoreRequest, known: "KnownState") -> "LaterChanges | None":
    """What the surviving audit logs say; None if nothing is asked of them."""
    from vault.audit.layout import LogLayout
    from vault.backup.format import verify_manifest
    from vault.backup.later_changes import read_later_changes
    from vault.backup.restore import read_manifest

    if request.ignore_logs:
        return None
    logs = [file for path in request.logs for file in find_logs(path)]
    own = request.settings.audit_log
    if not request.logs and _is_there(LogLayout(own)):
        logs = [own]
    keys, wanted = request.opened.keys, request.chosen.manifest
    manifest = verify_manifest(
        read_manifest(request.source, wanted.id), keys.keyring.vault, keys.backup
    )
    return read_later_changes(
        logs,
        manifest,
        keys,
        progress=_REPORTED,
        witnesses=[known.checkpoint] if known.checkpoint and logs else [],
        accept_faults=request.accept_log_faults,
    )


def _is_there(layout: Any) -> bool:
    """Whether anything of the log has survived."""
    return layout.head_file.exists() or (
        layout.log.parent.is_dir() and bool(layout.segment_files())
    )


def _compare(
    request: RestoreRequest, plan: "RestorePlan", against: "Settings | None", limit: int
) -> "BackupDiff | None":
    """The differences from the database; None if there is none of this vault to compare with."""
    from vault.app import read_storage
    from vault.backup.diff import diff_backup
    from vault.backup.restore import merged_rows
    from vault.errors import VaultError

    storage = (against or request.settings).storage
    if storage.file is not None and not storage.file.exists():
        if against is not None:
            raise CliError(f"there is no file {storage.file}", Exit.NOT_FOUND)
        return None
    keys = request.opened.keys
    manifests = plan.verified.manifests
    try:
        with (
            read_storage(storage) as session,
            merged_rows(request.source, manifests, keys, request.identity) as entries,
        ):
            return diff_backup(plan.choose(entries), session, keys.keyring.vault, limit=limit)
    except VaultError as error:
        if against is not None:
            raise
        print_note(f"Not compared with the database of the configuration: {error.message}")
        return None


# Into a vault that is in use.


def recover(
    context: CliContext, secrets: "Iterator[BackupSecret]", *, overwrite: bool, dry_run: bool
) -> None:
    """Write the secrets to the agent, each as a new version; print what was done with each.

    Raises `CliError` if any was not recovered.
    """
    done: list[dict[str, Any]] = []
    code = Exit.OK
    for found in secrets:
        row: dict[str, Any] = {
            "name": found.secret.name,
            "backup_version": found.secret.current_version,
            "current_version": 0,
            "action": "skip",
            "note": found.problem,
        }
        done.append(row)
        if found.value is None:
            continue
        try:
            _recover_one(context.client, found, row, overwrite=overwrite, dry_run=dry_run)
        except CliError as error:
            if error.exit_code in {Exit.UNREACHABLE, Exit.SEALED}:
                raise
            row |= {"action": "failed", "note": str(error)}
            code = code or error.exit_code
    done.sort(key=lambda row: row["name"])
    context.print_result(done)
    left = sum(row["action"] in {"failed", "keep", "skip"} for row in done)
    if left and not dry_run:
        raise CliError(f"{left} of {len(done)} not recovered", code or Exit.CONFLICT)


def _recover_one(
    client: "ApiClient",
    found: "BackupSecret",
    row: dict[str, Any],
    *,
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Decide by what is there now, and write. A change meanwhile is refused: check-and-set."""
    secret = found.secret
    now = _look_up(client, secret.name)
    if now is None:
        row["action"] = "create"
    else:
        row["current_version"] = now["version"]
        is_live = now["status"] == "active"
        row["action"] = "keep" if is_live and not overwrite else "write"
        if row["action"] == "keep":
            row["note"] = "it has a value: --overwrite writes a new version on top"
            return
    if dry_run:
        return
    body: dict[str, Any] = {
        "value": msgspec.Raw(found.value or b"null"),
        "metadata": secret.metadata,
        "tags": secret.tags,
    }
    if secret.expires_at:
        body["expires_at"] = instant(secret.expires_at)
    if now is None:
        sent = msgspec.json.encode(body | {"name": secret.name})
        written = client.call("POST", api_path("secrets"), sent)
        _restore_settings(client, found)
    else:
        sent = msgspec.json.encode(body | {"cas": now["version"]})
        written = client.call("PUT", api_path("secrets", secret.name), sent)
    row["current_version"] = written["version"]


def _look_up(client: "ApiClient", name: str) -> dict[str, Any] | None:
    try:
        answer = client.call("GET", api_path("metadata", name))
    except CliError as error:
        if error.exit_code is Exit.NOT_FOUND:
            return None
        raise
    found: dict[str, Any] = answer["secret"]
    return found


def _restore_settings(client: "ApiClient", found: "BackupSecret") -> None:
    """The settings of a secret that was created: they are no part of a write."""
    secret = found.secret
    settings: dict[str, Any] = {}
    if secret.max_versions:
        settings["max_versions"] = secret.max_versions
    if secret.cas_required:
        settings["cas_required"] = True
    if secret.delete_version_after:
        settings["delete_version_after"] = secret.delete_version_after // 10**9
    if settings:
        client.call("PATCH", api_path("metadata", secret.name), settings)
