"""What was taken away after a backup, from the audit logs that survived, to be taken away again.

The logs are verified with the keys of the backup's vault: a log of another vault, one that was
edited or cut, and one that does not reach back to the backup are refused. Only what a signature
covers counts. Values are keyed hashes in a log (docs/spec/audit.md); the vault has the key, so
what the backup holds is hashed and compared.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from protocols.merkle import Frontier, leaf_hash
from vault.audit.checkpoint import (
    TreeHead,
    log_id_of,
    log_origin,
    origin_node,
    verify_checkpoint,
)
from vault.audit.hashing import ValueHasher
from vault.audit.head_file import read_unverified_origin
from vault.audit.keys import AuditKeys
from vault.audit.layout import LogLayout
from vault.audit.record import AuditRecord, commit_mark, split_commit
from vault.audit.verify import BadLogError, LogVerifier, VerifiedRecord
from vault.authn.credential_validity import KEY_PARENT
from vault.backup.format import TABLES, Manifest
from vault.backup.keys import VaultKeys
from vault.backup.reader import Entry, Place
from vault.crypto.digest import sha256
from vault.errors import ConflictError, UnavailableError
from vault.model.identity import Method
from vault.model.records import (
    AccessRow,
    ApiKeyRow,
    ConsumerRow,
    CubbyholeRow,
    PolicyRow,
    RecordStatus,
    RoleRow,
    RotationRow,
    SecretRow,
    SessionRow,
    TokenRow,
    UsageRow,
    UserRow,
    VersionRow,
)
from vault.seal.bound_keys import bind_audit_keys
from vault.store.bulk import PROGRESS_ROWS, Progress, encode_row
from vault.store.row_guard import stamp_row
from vault.store.tables import TOKENS

MAX_ACTIONS: Final = 100_000
"""Actions that are held in memory; with more of them the restore is refused."""
MAX_STARTED: Final = 10_000
"""Intents without an outcome that are held in memory."""
MAX_POSITIONS: Final = 10  # that are named of each kind of action that cannot be applied

_ENDS_TOKENS: Final = frozenset({
    "token.revoke",
    "token.revoke_accessor",
    "token.revoke_orphan",
    "token.revoke_self",
    "session.close",
    "session.open",  # in the place of a login's token; others are left out
    "session.revoke",
    "session.revoke_of_user",
})  # fmt: skip
_ERASES: Final = frozenset({"secret.destroy", "secret.purge", "secret.remove"})
_SIGNED: Final = frozenset({"genesis", "segment", "checkpoint"})
"""Kinds of records that begin with a signature over all records before."""
_APPLIED: Final = frozenset({
    *_ENDS_TOKENS,
    *_ERASES,
    "key.revoke",
    "policy.delete",
    "role.delete",
    "role.write",
    "user.delete",
    "user.update",
})  # fmt: skip
_LISTED: Final = frozenset({
    "alias.delete",
    "alias.write",
    "auth.action.delete",
    "auth.action.update",
    "auth.entry.delete",
    "auth.entry.write",
    "auth.mount.disable",
    "auth.mount.move",
    "auth.mount.tune",
    "entity.delete",
    "entity.delete_many",
    "entity.merge",
    "entity.write",
    "fleet.apply",
    "fleet.reset",
    "group.delete",
    "group.members",
    "group.write",
    "group_alias.delete",
    "group_alias.write",
    "jwt.revoke",
    "mfa.enforcement.delete",
    "mfa.enforcement.write",
    "mfa.factor.destroy",
    "mfa.method.delete",
    "mfa.method.write",
    "mfa.own.confirm_totp",
    "mfa.own.recovery_codes",
    "mfa.own.remove",
    "mount.delete",
    "mount.move",
    "mount.tune",
    "policy.revoke_grant",
    "policy.write",
    "secret.delete",
    "sys.rekey.commit",
    "sys.retire_keys",
    "sys.rotate",
})  # fmt: skip
_UNCERTAIN: Final = frozenset({
    "audit_unavailable",
    "internal",
    "outcome_unrecorded",
    "store_timeout",
    "store_unavailable",
})  # fmt: skip
"""Codes of an outcome that does not say whether the change happened."""


class LogFault(NamedTuple):
    """A log that was refused, and why."""

    log: str
    problem: str


class NotApplied(Struct, frozen=True):
    """Actions of one kind that the logs tell of, but not enough to apply them again.

    `records`: the first of them, as `NODE#NUMBER`.
    """

    operation: str
    reason: str
    count: int
    records: list[str]


class LogReading(Struct, frozen=True):
    """What was read of one log: its records from number `start` on, up to `size`.

    `commits`: how many of the store's commits its head knows of.
    """

    log: str
    node: str
    start: int
    size: int
    commits: int


class _Action(NamedTuple):
    """A change that was made after the backup. `request` and `response` are hashed."""

    time: str
    node: str
    seq: int
    operation: str
    path: str
    credential: str
    method: str
    request: Any
    response: Any
    is_certain: bool

    @property
    def position(self) -> str:
        return f"{self.node}#{self.seq}"

    @property
    def name(self) -> str:
        """The end of the path: the id or name of what was changed."""
        return self.path.rpartition("/")[2]


@dataclass
class LaterChanges:
    """What the logs say was taken away after the backup, in its latest state."""

    revoked_keys: set[str] = field(default_factory=set)
    ended_tokens: set[str] = field(default_factory=set)  # accessors, or their hashes
    deleted_users: set[str] = field(default_factory=set)
    disabled_users: set[str] = field(default_factory=set)
    users_without_tokens: set[str] = field(default_factory=set)  # were disabled, perhaps not now
    user_roles: dict[str, frozenset[str]] = field(default_factory=dict)  # hashes
    user_policies: dict[str, frozenset[str]] = field(default_factory=dict)
    deleted_roles: set[str] = field(default_factory=set)
    role_policies: dict[str, frozenset[str]] = field(default_factory=dict)
    deleted_policies: set[str] = field(default_factory=set)
    purged: dict[str, set[str]] = field(default_factory=dict)  # by path: hashes of secrets' ids
    destroyed: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """By path and hash of the secret's id: hashes of the versions' numbers."""
    not_applied: list[NotApplied] = field(default_factory=list)
    readings: list[LogReading] = field(default_factory=list)
    faults: list[LogFault] = field(default_factory=list)
    missing_nodes: list[str] = field(default_factory=list)

    @property
    def commits(self) -> int:
        """The highest count of the store's commits that one of the logs knows of."""
        return max((reading.commits for reading in self.readings), default=0)


def read_later_changes(
    logs: Iterable[Path],
    manifest: Manifest,
    keys: VaultKeys,
    *,
    progress: Progress,
    witnesses: Iterable[str] = (),
    accept_faults: bool = False,
) -> LaterChanges:
    """Read the audit logs of the nodes, from where each was when the backup was made.

    `witnesses`: signed checkpoints that somebody else has kept, such as an anchor: a log has to
    have all that its witness has seen. With `accept_faults` a log that is refused is a fault of the
    result, and what its signatures cover before the fault counts.

    Raises `ConflictError` (`audit_log_refused`), `UnavailableError` (`too_many_changes`),
    `OSError`.
    """
    checkpoints = _heads(manifest.checkpoints, keys)
    seen = _heads(witnesses, keys)
    changes = LaterChanges()
    hasher = ValueHasher(bind_audit_keys(keys.keyring, "").mac)
    not_exchanged = hasher.hash_value(value=False)
    actions: list[_Action] = []
    with progress("Reading audit logs", None) as advance:
        for log in logs:
            reader = _LogReader(LogLayout(log), keys, checkpoints, seen, accept_gap=accept_faults)
            try:
                for found in reader.actions(advance):
                    actions += [each for each in found if _exchanged(each) != not_exchanged]
                    if len(actions) > MAX_ACTIONS:
                        raise UnavailableError(
                            "too_many_changes",
                            f"the audit logs tell of more than {MAX_ACTIONS} changes after the "
                            "backup: restore a later backup",
                        )
            except (BadLogError, ValueError) as error:
                fault = LogFault(str(log), str(error))
                if not accept_faults:
                    raise _refused(fault) from None
                changes.faults.append(fault)
            if reader.gap:
                changes.faults.append(LogFault(str(log), reader.gap))
            if reader.node:
                changes.readings.append(
                    LogReading(str(log), reader.node, reader.start, reader.covered, reader.commits)
                )
    read = {reading.node for reading in changes.readings}
    changes.missing_nodes = sorted(set(map(origin_node, checkpoints)) - read)
    actions.sort(key=lambda each: (_instant(each.time), each.node, each.seq))
    _Folder(changes, hasher).fold(actions)
    return changes


def _refused(fault: LogFault) -> ConflictError:
    return ConflictError(
        "audit_log_refused",
        f"the audit log {fault.log} cannot say what was revoked after the backup: {fault.problem}. "
        "Nothing was restored: give another copy of it by --audit-log, or go on without what it "
        "does not prove by --accept-log-faults",
    )


def _heads(notes: Iterable[str], keys: VaultKeys) -> dict[str, TreeHead]:
    """By origin, how long the nodes' logs were; the signatures are those of this vault."""
    found: dict[str, TreeHead] = {}
    for note in notes:
        origin = note.partition("\n")[0]
        audit = bind_audit_keys(keys.keyring, origin_node(origin))
        try:
            head = verify_checkpoint(note, audit, audit.public)
        except ValueError as error:
            raise _refused(
                LogFault(origin, f"its checkpoint is not this vault's: {error}")
            ) from None
        if head.origin not in found or found[head.origin].size < head.size:
            found[head.origin] = head
    return found


class _LogReader:
    """One pass over one log. `node` is empty until the log is known to be this vault's."""

    def __init__(
        self,
        layout: LogLayout,
        keys: VaultKeys,
        checkpoints: dict[str, TreeHead],
        seen: dict[str, TreeHead],
        *,
        accept_gap: bool,
    ) -> None:
        self._layout = layout
        self._keys = keys
        self._checkpoints = checkpoints
        self._seen = seen
        self._accept_gap = accept_gap
        self._tree = Frontier(sha256)  # over the records so far
        self._started: dict[tuple[str, str, str], _Action] = {}
        self.gap = ""  # what is missing at its beginning, if that is accepted
        self.node = ""
        self.start = 0
        self.commits = 0
        self.covered = 0  # records that a signature covers

    def actions(self, advance: Callable[[int], None]) -> Iterator[list[_Action]]:
        """The actions since the backup, once a signature covers them.

        Raises `BadLogError`, and `ValueError` for a log that is not this vault's or does not reach
        back to the backup.
        """
        vault = self._keys.keyring.vault
        try:
            origin = read_unverified_origin(self._layout.head_file)
        except FileNotFoundError:
            raise ValueError("its head file is missing") from None
        node = origin_node(origin)
        if origin != log_origin(log_id_of(vault, node)):
            raise ValueError(f"it is the log of another vault ({origin})")
        audit = bind_audit_keys(self._keys.keyring, node)
        known = self._checkpoints.get(origin)
        self.start = 0 if known is None else known.size
        heads = [head for head in (known, self._seen.get(origin)) if head is not None]
        verifier = LogVerifier(self._layout, audit, audit.public)
        pending: list[_Action] = []
        done = 0
        for done, verified in enumerate(self._records(verifier, audit), 1):
            if done == 1:
                self.node = node
                self._begin(verifier)
                _require_heads(heads, self._tree)
            if verified.record.kind in _SIGNED:
                yield pending
                pending = []
                self.covered = max(self._tree.size, self.covered)
            self._tree.append(leaf_hash(sha256, verified.line.data))
            _require_heads(heads, self._tree)
            pending += self._action_of(verified.record, node)
            if self._tree.size == verifier.stored_head.head.size:
                yield pending
                pending = []
                self.covered = self._tree.size
            if done % PROGRESS_ROWS == 0:
                advance(PROGRESS_ROWS)
        advance(done % PROGRESS_ROWS)
        size = self._tree.size
        for head in heads:
            if size < head.size:
                raise ValueError(
                    f"it ends after {size} records, and had {head.size} before: it was cut"
                )
        self.covered = size
        yield [*pending, *(each for each in self._started.values() if each.seq >= self.start)]

    def _begin(self, verifier: LogVerifier) -> None:
        """Before the first record that is here."""
        self._tree = verifier.first_tree.copy()
        self.commits = verifier.stored_head.head.store
        if self._tree.size > self.start:
            self.gap = (
                f"its first record is number {self._tree.size}, and the backup was made when it "
                f"had {self.start}"
            )
            if not self._accept_gap:
                raise ValueError(self.gap)

    def _records(self, verifier: LogVerifier, audit: AuditKeys) -> Iterator[VerifiedRecord]:
        """The records; those behind the head are no fault if the agent's commit marks cover them.

        A crash between a batch and the head leaves such, and the agent keeps them at its start.
        """
        marked = 0
        try:
            for verified in verifier.records():
                yield verified
                is_behind = self._tree.size > verifier.stored_head.head.size
                if is_behind and _is_marked(verified, audit):
                    marked = self._tree.size
        except BadLogError as error:
            is_whole = bool(marked) and marked == self._tree.size
            if not (is_whole and error.line and error.seq == verifier.stored_head.head.size):
                raise

    def _action_of(self, record: AuditRecord, node: str) -> list[_Action]:
        """What a record says was done; nothing while its outcome is not there."""
        body = record.body
        if record.kind != "event" or not isinstance(body, dict):
            return []
        operation = body.get("operation", "")
        if operation not in _APPLIED and operation not in _LISTED:
            return []
        place = (str(body.get("request_id")), operation, str(body.get("path")))
        if body.get("phase") == "intent":
            given_up = []
            if len(self._started) >= MAX_STARTED:
                given_up = [self._started.pop(next(iter(self._started)))]
            self._started[place] = _action(record, node, body.get("request"), None, certain=False)
            return [each for each in given_up if each.seq >= self.start]
        begun = self._started.pop(place, None)
        is_done = body.get("result") == "ok"
        if record.seq < self.start or not (is_done or body.get("code") in _UNCERTAIN):
            return []
        if _field(body.get("response"), "secret_id_accessor") is not None:
            return []  # a new secret-id took nothing away; there may be one for each job
        request = None if begun is None else begun.request
        return [_action(record, node, request, body.get("response"), certain=is_done)]


def _is_marked(verified: VerifiedRecord, audit: AuditKeys) -> bool:
    """Whether the record ends a batch that the agent has written, whole."""
    line, mark = split_commit(verified.line.data)
    expected = commit_mark(audit, bytes.fromhex(verified.record.prev), line)
    return compare_digest(mark, expected.encode())


def _require_heads(heads: Iterable[TreeHead], tree: Frontier) -> None:
    for head in heads:
        if tree.size == head.size and tree.root() != head.root:
            raise ValueError(f"its first {head.size} records are not those that it had before")


def _action(
    record: AuditRecord, node: str, request: Any, response: Any, *, certain: bool
) -> _Action:
    body = record.body
    return _Action(
        time=record.time,
        node=node,
        seq=record.seq,
        operation=body["operation"],
        path=str(body.get("path")),
        credential=str(body.get("credential")),
        method=str(body.get("method")),
        request=request,
        response=response,
        is_certain=certain,
    )


def _exchanged(action: _Action) -> Any:
    """Of a session that was opened: whether it took the place of its credential, as a hash."""
    return _field(action.request, "exchange") if action.operation == "session.open" else None


def _instant(time: str) -> str:
    """The text of a time so that texts sort as the times do: no closing zeros are written."""
    seconds, _, fraction = time.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction:0<9}"


# From the actions to their latest state.

_NO_OUTCOME: Final = "the log does not say whether it was done"
_NOT_ON_RECORD: Final = "the log does not say which ones"
_REASONS: Final = {
    "alias.delete": "the alias is there again: delete it",
    "alias.write": "the alias is that of the backup: write it again",
    "auth.action.delete": "what was removed at the auth mount is there again: remove it",
    "auth.action.update": "a secret-id that was destroyed, or a former password, counts again",
    "auth.entry.delete": "the role, user or configuration is there again: delete it",
    "auth.entry.write": "the role, user or configuration is that of the backup: write it again",
    "auth.mount.disable": "the auth mount and its roles are there again: disable it",
    "auth.mount.move": "the auth mount is at its former path: move it",
    "auth.mount.tune": "the auth mount has its former settings",
    "entity.delete": "the entity is there again: delete it",
    "entity.delete_many": "the entities are there again: delete them",
    "entity.merge": "the entities are apart again: merge them",
    "entity.write": "the entity is that of the backup: disable or change it again",
    "fleet.apply": "push the policies of the control plane again",
    "fleet.reset": "the policies of the control plane may be in force again",
    "group.delete": "the group is there again: delete it",
    "group.members": "the group has its former members: change them again",
    "group.write": "the group is that of the backup: write it again",
    "group_alias.delete": "the alias of the group is there again: delete it",
    "group_alias.write": "the alias of the group is that of the backup: write it again",
    "jwt.revoke": "tokens of the issuer that were revoked count again: revoke them",
    "mfa.enforcement.delete": "the enforcement is there again: delete it",
    "mfa.enforcement.write": "the enforcement is that of the backup: write it again",
    "mfa.factor.destroy": "second factors that were removed count again: remove them",
    "mfa.method.delete": "the method of second factors is there again: delete it",
    "mfa.method.write": "the method of second factors is that of the backup: write it again",
    "mfa.own.confirm_totp": "a former authenticator app counts again: remove it",
    "mfa.own.recovery_codes": "former recovery codes count again: make new ones",
    "mfa.own.remove": "a second factor that its owner removed counts again: remove it",
    "mount.delete": "the mount and its secrets are there again: delete it",
    "mount.move": "the mount is at its former path, with what was erased in it since: move it",
    "mount.tune": "the mount has its former settings",
    "policy.revoke_grant": "the grant is there again, until it ends: revoke it",
    "policy.write": "the policy is that of the backup: write it again",
    "secret.delete": "the versions are there again: delete them",
    "sys.rekey.commit": "the root key is the former one: rekey again",
    "sys.retire_keys": "retired key-encryption keys are there again: retire them",
    "sys.rotate": "the key-encryption key is the former one: rotate it",
}


class _Folder:
    """Takes actions over, in the order in which they were done."""

    def __init__(self, changes: LaterChanges, hasher: ValueHasher) -> None:
        self._changes = changes
        self._disabled = hasher.hash_value(str(RecordStatus.DISABLED))
        self._active = hasher.hash_value(str(RecordStatus.ACTIVE))

    def fold(self, actions: Iterable[_Action]) -> None:
        left: dict[tuple[str, str], list[str]] = {}
        for action in actions:
            for reason in filter(None, self._note(action)):
                left.setdefault((action.operation, reason), []).append(action.position)
        self._changes.not_applied = [
            NotApplied(operation, reason, len(found), found[:MAX_POSITIONS])
            for (operation, reason), found in sorted(left.items())
        ]

    def _note(self, action: _Action) -> list[str]:
        """Take an action over; returns why something of it cannot be applied."""
        changes, operation = self._changes, action.operation
        if operation in _ENDS_TOKENS:
            return [self._note_token(action)]
        if operation == "key.revoke":
            changes.revoked_keys.add(action.name)
            return []
        if not action.is_certain:
            return [_NO_OUTCOME]
        match operation:
            case "policy.delete":
                changes.deleted_policies.add(action.name)
            case "role.delete":
                changes.deleted_roles.add(action.name)
            case "role.write":
                changes.deleted_roles.discard(action.name)
                return [_note_list(action, action.request, "policies", changes.role_policies)]
            case "user.delete":
                changes.deleted_users.add(action.name)
            case "user.update":
                return self._note_user(action)
            case "secret.destroy" | "secret.purge" | "secret.remove":
                return [self._note_erasure(action)]
            case _:
                if operation == "policy.write":
                    changes.deleted_policies.discard(action.name)
                return [_REASONS[operation]]
        return []

    def _note_token(self, action: _Action) -> str:
        changes = self._changes
        if action.operation == "session.open" and _exchanged(action) is None:
            return _NOT_ON_RECORD
        if action.operation in {"token.revoke_self", "session.close", "session.open"}:
            is_key = action.method == Method.API_KEY
            if is_key and action.operation == "session.open":
                return ""  # it was refused: a key is not exchanged
            (changes.revoked_keys if is_key else changes.ended_tokens).add(action.credential)
            return ""
        accessor = _field(action.response, "accessor") or _field(action.request, "accessor")
        if isinstance(accessor, str):
            changes.ended_tokens.add(accessor)
            return ""
        # Without an accessor in its outcome, what was revoked by its text was no token.
        return "" if action.is_certain else _NO_OUTCOME

    def _note_user(self, action: _Action) -> list[str]:
        """Roles and policies as the outcome has them; the status is in the intent alone."""
        changes, user = self._changes, action.name
        status = _field(action.request, "status")
        if status == self._disabled:
            changes.disabled_users.add(user)
            changes.users_without_tokens.add(user)
        elif status == self._active:
            changes.disabled_users.discard(user)
        return [
            _NOT_ON_RECORD if status is None else "",
            _note_list(action, action.response, "roles", changes.user_roles),
            _note_list(action, action.response, "policies", changes.user_policies),
        ]

    def _note_erasure(self, action: _Action) -> str:
        secret = _field(action.response, "secret_id")
        if not isinstance(secret, str):
            return _NOT_ON_RECORD
        if action.operation != "secret.destroy":
            self._changes.purged.setdefault(action.path, set()).add(secret)
            return ""
        numbers = _field(action.request, "versions")
        if not isinstance(numbers, list) or not numbers:
            return _NOT_ON_RECORD  # the version that was current then, or too many for a record
        found = self._changes.destroyed.setdefault((action.path, secret), set())
        found.update(map(str, numbers))
        return ""


def _note_list(action: _Action, data: Any, name: str, into: dict[str, frozenset[str]]) -> str:
    found = _field(data, name)
    if not isinstance(found, list):
        return _NOT_ON_RECORD
    into[action.name] = frozenset(map(str, found))
    return ""


def _field(data: Any, name: str) -> Any:
    return data.get(name) if isinstance(data, dict) else None


# From their latest state to the rows of the backup.


class ChangePlan(NamedTuple):
    """What becomes of rows of the backup: another row, or None for one that is left out.

    `counts`: by what was done.
    """

    rows: dict[Place, Any]
    counts: dict[str, int]

    @property
    def digest(self) -> bytes:
        """Another one for another plan."""
        text = [
            (place, b"" if row is None else encode_row(TABLES[place[0]], row))
            for place, row in sorted(self.rows.items(), key=lambda item: item[0])
        ]
        return sha256(msgspec.msgpack.encode(text))

    def apply(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries as they are to be written."""
        for entry in entries:
            if entry.place not in self.rows:
                yield entry
            elif (row := self.rows[entry.place]) is not None:
                yield Entry(entry.place, row, encode_row(entry.table, row))


NO_CHANGES: Final = ChangePlan({}, {})


def plan_changes(
    changes: LaterChanges, entries: Iterable[Entry], keys: VaultKeys, *, keep_erased: bool
) -> ChangePlan:
    """What the changes do to the rows of a backup; `entries` are all that is restored of it.

    `keep_erased`: secrets and versions that were erased later are restored all the same.
    """
    planner = _Planner(changes, keys, keep_erased=keep_erased)
    for entry in entries:
        planner.look_at(entry)
    return planner.plan()


class _Token(NamedTuple):
    """What is kept in memory of a token, until all are known."""

    id: str
    parent: str
    accessor: str
    user_id: str


_TOKENS_POSITION: Final = TABLES.index(TOKENS)


class _Planner:
    """Looks at all rows, parents before those that refer to them."""

    def __init__(self, changes: LaterChanges, keys: VaultKeys, *, keep_erased: bool) -> None:
        self._changes = changes
        self._keys = keys
        self._hash = ValueHasher(bind_audit_keys(keys.keyring, "").mac).hash_value
        self._purged = {} if keep_erased else changes.purged
        self._destroyed = {} if keep_erased else changes.destroyed
        self._destroyed_paths = {path for path, _ in self._destroyed}
        self._rows: dict[Place, Any] = {}
        self._counts: dict[str, int] = {}
        self._erased_ids: set[str] = set()
        self._heads: dict[str, tuple[Entry, set[str]]] = {}  # whose versions are destroyed
        self._tokens: list[_Token] = []
        self._gone: set[str] = set()  # accessors and ids of credentials that are left out
        self._tokens_ended = False
        self._looks: dict[type, Callable[[Entry, Any], None]] = {
            SecretRow: self._look_at_secret,
            VersionRow: self._look_at_version,
            AccessRow: self._look_at_part,
            RotationRow: self._look_at_part,
            ConsumerRow: self._look_at_part,
            UserRow: self._look_at_user,
            RoleRow: self._look_at_role,
            ApiKeyRow: self._look_at_key,
            TokenRow: self._look_at_token,
            PolicyRow: self._look_at_policy,
            UsageRow: self._look_at_usage,
            CubbyholeRow: self._look_at_part_of_token,
            SessionRow: self._look_at_part_of_token,
        }

    def look_at(self, entry: Entry) -> None:
        if not self._tokens_ended and entry.place[0] > _TOKENS_POSITION:
            self._end_tokens()
        look = self._looks.get(type(entry.row))
        if look is not None:
            look(entry, entry.row)

    def plan(self) -> ChangePlan:
        if not self._tokens_ended:
            self._end_tokens()
        return ChangePlan(self._rows, dict(sorted(self._counts.items())))

    def _look_at_secret(self, entry: Entry, row: SecretRow) -> None:
        purged = self._purged.get(row.name)
        if purged is not None and self._hash(row.id) in purged:
            self._leave_out(entry.place, "secrets_purged")
            self._erased_ids.add(row.id)
        elif row.name in self._destroyed_paths:
            numbers = self._destroyed.get((row.name, self._hash(row.id)))
            if numbers is not None:
                self._heads[row.id] = entry, numbers

    def _look_at_version(self, entry: Entry, row: VersionRow) -> None:
        if row.secret_id in self._erased_ids:
            self._rows[entry.place] = None
            return
        if row.secret_id not in self._heads or row.destroyed:
            return
        head, numbers = self._heads[row.secret_id]
        if self._hash(row.version) not in numbers:
            return
        self._replace(entry, "versions_destroyed", destroyed=True, wrapped_dek=b"", box=b"")
        if row.version == head.row.current_version:
            self._replace(head, "", status=str(RecordStatus.DESTROYED))

    def _look_at_part(self, entry: Entry, row: AccessRow | RotationRow | ConsumerRow) -> None:
        if row.secret_id in self._erased_ids:
            self._rows[entry.place] = None

    def _look_at_user(self, entry: Entry, row: UserRow) -> None:
        changes = self._changes
        if row.id in changes.deleted_users:
            self._leave_out(entry.place, "users_deleted")
            return
        roles = self._still(row.roles, changes.user_roles.get(row.id))
        policies = self._still(row.policies, changes.user_policies.get(row.id))
        is_disabled = row.id in changes.disabled_users and row.status != RecordStatus.DISABLED
        status = str(RecordStatus.DISABLED) if is_disabled else row.status
        if (roles, policies) != (row.roles, row.policies):
            self._count("users_reduced")
        if (roles, policies, status) != (row.roles, row.policies, row.status):
            counted = "users_disabled" if is_disabled else ""
            self._replace(entry, counted, roles=roles, policies=policies, status=status)

    def _look_at_role(self, entry: Entry, row: RoleRow) -> None:
        if row.name in self._changes.deleted_roles:
            self._leave_out(entry.place, "roles_deleted")
            return
        policies = self._still(row.policies, self._changes.role_policies.get(row.name))
        if policies != row.policies:
            self._replace(entry, "roles_reduced", policies=policies)

    def _look_at_key(self, entry: Entry, row: ApiKeyRow) -> None:
        if row.user_id in self._changes.deleted_users:
            self._rows[entry.place] = None
            self._gone.add(row.id)
        elif row.id in self._changes.revoked_keys and row.status != RecordStatus.REVOKED:
            self._replace(entry, "api_keys_revoked", status=str(RecordStatus.REVOKED))

    def _look_at_token(self, _entry: Entry, row: TokenRow) -> None:
        self._tokens.append(_Token(row.id, row.parent, row.accessor, row.user_id))

    def _look_at_policy(self, entry: Entry, row: PolicyRow) -> None:
        if row.name in self._changes.deleted_policies:
            self._leave_out(entry.place, "policies_deleted")

    def _look_at_usage(self, entry: Entry, row: UsageRow) -> None:
        if row.credential_id in self._gone:
            self._rows[entry.place] = None

    def _look_at_part_of_token(self, entry: Entry, row: CubbyholeRow | SessionRow) -> None:
        if row.token_id in self._gone:
            self._rows[entry.place] = None

    def _end_tokens(self) -> None:
        """Leave out the tokens that ended, with all that came from them."""
        self._tokens_ended = True
        changes = self._changes
        users = changes.deleted_users | changes.users_without_tokens
        ended = {KEY_PARENT + key for key in changes.revoked_keys}
        children: dict[str, list[str]] = {}
        for token in self._tokens:
            names = (token.accessor, self._hash(token.accessor))
            if token.user_id in users or not changes.ended_tokens.isdisjoint(names):
                ended.add(token.id)
            children.setdefault(token.parent, []).append(token.id)
        waiting = list(ended)
        while waiting:
            found = [child for child in children.get(waiting.pop(), ()) if child not in ended]
            ended.update(found)
            waiting += found
        for token in self._tokens:
            if token.id in ended:
                self._leave_out((_TOKENS_POSITION, (token.id,)), "tokens_revoked")
                self._gone.update((token.accessor, token.id))
        self._tokens.clear()

    def _still(self, names: list[str], kept: frozenset[str] | None) -> list[str]:
        return names if kept is None else [name for name in names if self._hash(name) in kept]

    def _replace(self, entry: Entry, counted: str, **columns: Any) -> None:
        row = replace(entry.row, **columns)
        self._rows[entry.place] = stamp_row(self._keys.guard, entry.table, row)
        self._count(counted)

    def _leave_out(self, place: Place, counted: str) -> None:
        self._rows[place] = None
        self._count(counted)

    def _count(self, name: str) -> None:
        if name:
            self._counts[name] = self._counts.get(name, 0) + 1
