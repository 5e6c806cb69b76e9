"""Which rotation policy a secret has, and when it is due by it.

The due time is in the secret's row. It is computed when the secret gets a value, when a rotation
ends and when its own policy changes; after a change of a folder's policy, by `schedule_folder`.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from protocols.instant import DAY, HOUR
from vault.errors import ValidationError
from vault.handlers.stores import RotationStore, RotationTx, SecretTx
from vault.model.records import FolderPolicyRow, RecordStatus, RotationRow, SecretRow
from vault.model.rotation import RotationPolicy
from vault.rotation.schedule import NEVER, may_begin, next_due

SECRET_SPREAD: Final = HOUR
FOLDER_SPREAD: Final = DAY
"""What an interval may end earlier at most, and within what the overdue come: a folder may have a
million secrets."""
BATCH: Final = 128  # secrets of one transaction of `schedule_folder`
_EARLIEST: Final = 1.0
_PHASES: Final = 2**32


class EffectivePolicy(NamedTuple):
    """The policy of a secret and the path that it belongs to, its own or a folder's.

    `since`: when a folder's policy was set; 0: the secret has its own.
    """

    source: str
    policy: RotationPolicy | None
    since: int

    @property
    def spread(self) -> int:
        """See `FOLDER_SPREAD`."""
        return FOLDER_SPREAD if self.since else SECRET_SPREAD


NO_POLICY: Final = EffectivePolicy("", None, 0)


def effective_policy(tx: SecretTx, secret: SecretRow) -> EffectivePolicy:
    """The secret's own policy, or that of the nearest folder."""
    if secret.rotation_policy is not None:
        return _own(secret)
    for folder in parent_folders(secret.name):
        row = tx.get_folder_policy(folder)
        if row is not None and (found := _of_folder(row, secret)):
            return found
    return NO_POLICY


async def load_effective_policy(store: RotationStore, secret: SecretRow) -> EffectivePolicy:
    """As `effective_policy`, without a transaction."""
    if secret.rotation_policy is not None:
        return _own(secret)
    for folder in parent_folders(secret.name):
        row = await store.get_folder_policy(folder)
        if row is not None and (found := _of_folder(row, secret)):
            return found
    return NO_POLICY


def _own(secret: SecretRow) -> EffectivePolicy:
    return EffectivePolicy(secret.name, parse_policy(secret.rotation_policy), 0)


def _of_folder(row: FolderPolicyRow, secret: SecretRow) -> EffectivePolicy | None:
    """None: it was removed, or is not for what it connects with itself."""
    if not row.policy or row.policy.get("connection") == secret.name:
        return None
    return EffectivePolicy(row.path, parse_policy(row.policy), row.updated_at)


def parse_policy(document: object) -> RotationPolicy:
    """A policy as it is stored. Raises `ValidationError` (`rotation_policy_invalid`)."""
    try:
        return msgspec.convert(document, RotationPolicy)
    except (msgspec.ValidationError, ValueError) as error:
        raise ValidationError("rotation_policy_invalid", str(error), field="policy") from None


def parent_folders(name: str) -> Iterator[str]:
    """The folders of a path, with their closing slash, the innermost first."""
    end = len(name)
    while (end := name.rfind("/", 0, end)) >= 0:
        yield name[: end + 1]


def schedule(tx: SecretTx, secret: SecretRow, now: int) -> SecretRow:
    """The secret, due as its policy says.

    Where a rotation of it runs, its end says so once more, and a begin before that does nothing.
    """
    return replace(secret, rotation_due=due_time(tx, secret, effective_policy(tx, secret), now))


def due_time(tx: SecretTx, secret: SecretRow, found: EffectivePolicy, now: int) -> int:
    """When a secret with a value is due, the same each time it is asked; `NEVER` for no schedule.

    Each secret has a phase of its own, from its id, which spreads those of one policy in time.
    """
    policy = found.policy
    if policy is None or not policy.enabled:
        return NEVER
    phase = crc32(secret.id.encode()) / _PHASES
    since = found.since or now
    if _is_read_out(tx, secret, policy):
        return since + int(SECRET_SPREAD * phase) if found.since else now
    return next_due(policy, _written_at(tx, secret, policy), since, now, phase, found.spread)


def is_due(tx: SecretTx, secret: SecretRow, found: EffectivePolicy, now: int) -> bool:
    """Whether the policy says so now: the value may have been written since it was scheduled."""
    policy = found.policy
    if policy is None or not policy.enabled:
        return False
    if _is_read_out(tx, secret, policy):
        return True
    if policy.interval:
        written = _written_at(tx, secret, policy)
        return next_due(policy, written, 0, now, _EARLIEST, found.spread) <= now
    return bool(policy.cron) and may_begin(policy, now)


def schedule_folder(tx: RotationTx, path: str, now: int) -> int:
    """Schedule the next `BATCH` secrets below a folder by the policies of now; returns how many.

    Fewer than `BATCH` are the last ones. How far it is stands in the folder's row.
    """
    row = tx.get_folder_policy(path)
    if row is None or row.scheduled_to is UNSET:
        return 0
    page = tx.list_secrets(path, row.scheduled_to, BATCH)
    tx.load_versions([(secret.id, secret.current_version) for secret in page])
    for secret in page:
        if secret.rotation_policy is None and secret.status == RecordStatus.ACTIVE:
            scheduled = schedule(tx, secret, now)
            if scheduled.rotation_due != secret.rotation_due:
                tx.put_secret(scheduled)
    if len(page) == BATCH:
        tx.put_folder_policy(replace(row, scheduled_to=page[-1].name))
    elif row.policy:
        tx.put_folder_policy(replace(row, scheduled_to=UNSET))
    else:
        tx.delete_folder_policy(path)
    return len(page)


def is_read_out(secret_reads: int, latest: RotationRow | None, policy: RotationPolicy) -> bool:
    """Whether a value that was read so often in all has been read as often as the policy allows."""
    replaced = UNSET if latest is None else latest.reads
    before = 0 if replaced is UNSET else replaced
    return 0 < policy.max_reads <= secret_reads - before


def _is_read_out(tx: SecretTx, secret: SecretRow, policy: RotationPolicy) -> bool:
    if not policy.max_reads:
        return False
    return is_read_out(tx.get_reads(secret.id), tx.get_latest_rotation(secret.id), policy)


def _written_at(tx: SecretTx, secret: SecretRow, policy: RotationPolicy) -> int:
    if not policy.interval:
        return 0  # nobody asks
    version = tx.get_version(secret.id, secret.current_version)
    return secret.updated_at if version is None else version.created_at
