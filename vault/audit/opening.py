"""Opening all copies of a log: the longest leads, the others are brought up to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from actors import World
from vault.audit.keys import AuditKeys
from vault.audit.recovery import Recovered, damaged
from vault.audit.replica import DurableSink
from vault.errors import UnavailableError, VaultError


@dataclass(frozen=True, slots=True)
class Opened:
    """The sinks that can be used, all at the same place; `failed` says why others cannot."""

    recovered: Recovered
    sinks: list[DurableSink]
    failed: dict[str, str]


async def open_sinks(
    sinks: Sequence[DurableSink], keys: AuditKeys, vault_id: str, world: World
) -> Opened:
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


def _open(sinks: Sequence[DurableSink], keys: AuditKeys, vault_id: str) -> Opened:
    loaded: list[tuple[DurableSink, Recovered]] = []
    failed: dict[str, str] = {}
    for sink in sinks:
        try:
            loaded.append((sink, sink.load(keys, vault_id)))
        except OSError as error:
            failed[sink.name] = _why(sink, error)
    if not loaded:
        whys = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise UnavailableError("audit_unavailable", f"no audit log can be opened ({whys})")
    leader, longest = max(loaded, key=lambda each: each[1].position.chain.size)
    usable = []
    for sink, found in loaded:
        try:
            if found.position.chain.size < longest.position.chain.size:
                sink.bring_up(leader.layout)
                found = sink.load(keys, vault_id)  # noqa: PLW2901  # it is longer now
        except OSError as error:
            failed[sink.name] = _why(sink, error)
            continue
        if found.position.chain.head != longest.position.chain.head:
            raise damaged(sink.name, f"it contradicts {leader.name}")
        usable.append(sink)
    return Opened(longest, usable, failed)


def _why(sink: DurableSink, error: OSError) -> str:
    sink.close()
    return f"{type(error).__name__}: {error.strerror}"
