"""Opening all copies of a log: the longest leads, the others are brought up to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from actors import World
from vault.audit.keys import AuditKeys
from vault.audit.recovery import RecoveredLog, tampered_error
from vault.audit.replica import DurableSink
from vault.errors import UnavailableError, VaultError


@dataclass(frozen=True, slots=True)
class OpenSinks:
    """The sinks that can be used, all at the same place; `failed` says why others cannot."""

    recovered: RecoveredLog
    sinks: list[DurableSink]
    failed: dict[str, str]


async def open_sinks(
    sinks: Sequence[DurableSink], keys: AuditKeys, vault_id: str, world: World
) -> OpenSinks:
    """Load every sink.

    Raises `TamperedError` when one is damaged or two contradict each other, and `UnavailableError`
    when none can be opened.
    """
    try:
        return await world.run_sync(_open, sinks, keys, vault_id)
    except VaultError:
        for sink in sinks:
            sink.close()
        raise


def _open(sinks: Sequence[DurableSink], keys: AuditKeys, vault_id: str) -> OpenSinks:
    loaded: list[tuple[DurableSink, RecoveredLog]] = []
    failed: dict[str, str] = {}
    for sink in sinks:
        try:
            loaded.append((sink, sink.load(keys, vault_id)))
        except OSError as error:
            failed[sink.name] = _failure_reason(sink, error)
    if not loaded:
        whys = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise UnavailableError("audit_unavailable", f"no audit log can be opened ({whys})")
    leader, longest = max(loaded, key=lambda each: each[1].position.chain.size)
    usable = []
    for sink, found in loaded:
        try:
            if found.position.chain.size < longest.position.chain.size:
                sink.catch_up_from(leader.layout)
                found = sink.load(keys, vault_id)  # noqa: PLW2901  # it is longer now
        except OSError as error:
            failed[sink.name] = _failure_reason(sink, error)
            continue
        if found.position.chain.head != longest.position.chain.head:
            raise tampered_error(sink.name, f"it contradicts {leader.name}")
        usable.append(sink)
    return OpenSinks(longest, usable, failed)


def _failure_reason(sink: DurableSink, error: OSError) -> str:
    sink.close()
    return f"{type(error).__name__}: {error.strerror}"
