"""The stream of messages to each agent, whether it is connected or not.

Bundles and cosignatures are state: only the newest counts. The link's row stores which id it has,
and `read_outbox` reads it from its own table. An id is given once for each new state, in the
transaction that stores it; a state that was superseded meanwhile is skipped. Commands and
notifications wait one by one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec.structs import replace

from control.errors import ConflictError, UnavailableError
from control.model.links import AgentLink, OutgoingMessage
from control.model.policies import Assignment
from control.model.records import WitnessedCheckpoint
from control.services.witness import cosigned_at
from control.store import links, policies
from control.store.rows import Tx
from protocols.link import codec
from protocols.link.delivery import NO_STREAM, OutboxBatch, OutboxEntry
from protocols.link.messages import CheckpointCosignature, Message, MessageType, PolicyUpdate

MAX_WAITING: Final = 256
"""Commands and notifications of one agent that is away: a person who sends more is told."""

CosignFunction: TypeAlias = Callable[[WitnessedCheckpoint], str]
OfferedBundle: TypeAlias = tuple[AgentLink, Assignment]


def ensure_link(tx: Tx, org: str, vault: str, stream: bytes) -> AgentLink:
    """The agent's link; a new one has this stream."""
    found = links.get_link(tx, org, vault)
    if found is None:
        found = _new_link(org, vault, stream)
        links.put_links(tx, found)
    return found


def ensure_links(tx: Tx, org: str, streams: Mapping[str, bytes]) -> dict[str, AgentLink]:
    """Vault → link of each of these agents (vault → stream of one that has none yet)."""
    found = {link.vault: link for link in links.get_links(tx, org, list(streams))}
    made = [
        _new_link(org, vault, stream) for vault, stream in streams.items() if vault not in found
    ]
    links.put_links(tx, *made)
    return found | {link.vault: link for link in made}


def require_current_epoch(link: AgentLink, epoch: int) -> None:
    """Raise `ConflictError` for a connection that a later one at another process has replaced.

    `epoch` 0: a single process, which ends the earlier connection itself.
    """
    if epoch and link.epoch != epoch:
        raise ConflictError("outdone", "the agent has a newer connection")


def enqueue_message(tx: Tx, link: AgentLink, message: Message) -> AgentLink:
    """Queue a command or notification. Raises `UnavailableError` when too many wait."""
    if links.count_waiting_messages(tx, link.org, link.vault) >= MAX_WAITING:
        raise UnavailableError(
            "agent_busy",
            f"{MAX_WAITING} messages wait for this agent: check whether it is connected",
        )
    grown = replace(link, newest=link.newest + 1)
    links.put_links(tx, grown)
    payload = codec.encode_payload(message)
    row = OutgoingMessage(
        link.org, link.vault, grown.newest, codec.message_type_of(message), payload
    )
    links.add_outgoing(tx, row)
    return grown


def enqueue_bundles(tx: Tx, org: str, vaults: Sequence[str]) -> list[OfferedBundle]:
    """Give an id to the bundle of each agent that was offered an older one."""
    found = [
        (replace(link, newest=link.newest + 1, bundle=row.version, bundle_id=link.newest + 1), row)
        for link, row in links.unoffered_bundles(tx, org, list(vaults))
    ]
    links.put_bundle_ids(tx, (link for link, _ in found))
    return found


def reoffer_bundle(tx: Tx, link: AgentLink) -> AgentLink:
    """Send the bundle again: the agent has acknowledged it and does not have it."""
    again = replace(link, newest=link.newest + 1, bundle_id=link.newest + 1)
    links.put_links(tx, again)
    return again


def offer_cosignature(tx: Tx, link: AgentLink, size: int) -> AgentLink:
    """Give an id to the newest cosigned checkpoint."""
    newest = link.newest + 1
    offered = replace(link, newest=newest, checkpoint=size, checkpoint_id=newest)
    links.put_links(tx, offered)
    return offered


def restart_stream(tx: Tx, link: AgentLink, stream: bytes) -> AgentLink:
    """Begin a new stream: the agent knows ids that were never given (a restored database).

    State that has an id gets a new one; the bundle is offered when the agent connects.
    """
    waiting = links.renumber_outgoing(tx, link.org, link.vault)
    anew = replace(
        link,
        stream=stream,
        newest=waiting,
        acknowledged=0,
        bundle=0,
        bundle_id=0,
        checkpoint=0,
        checkpoint_id=0,
    )
    links.put_links(tx, anew)
    return anew


def read_outbox(
    tx: Tx, org: str, vault: str, *, after: int, limit: int, sign: CosignFunction
) -> OutboxBatch:
    """Up to `limit` messages behind `after`, in order (`protocols.link.delivery.Outbox.read`)."""
    link = links.get_link(tx, org, vault)
    if link is None or link.newest <= after:
        return OutboxBatch(after, after, ())
    rows = links.waiting_messages(tx, org, vault, after=after, limit=limit)
    entries = [OutboxEntry(row.id, MessageType(row.name), row.payload) for row in rows]
    entries += _bundle(tx, link, after) + _cosignature(tx, link, after, sign)
    entries = sorted(entries, key=lambda entry: entry.id)
    through = link.newest if len(entries) <= limit and len(rows) < limit else entries[limit - 1].id
    return OutboxBatch(after, through, tuple(entry for entry in entries if entry.id <= through))


def _new_link(org: str, vault: str, stream: bytes) -> AgentLink:
    return AgentLink(org, vault, stream, 0, 0, 0, 0, 0, 0, NO_STREAM, 0)


def bundle_entry(link: AgentLink, row: Assignment) -> OutboxEntry:
    """The bundle as it is sent."""
    payload = codec.encode_payload(PolicyUpdate(bundle=row.bundle))
    return OutboxEntry(link.bundle_id, MessageType.POLICY_UPDATE, payload)


def _bundle(tx: Tx, link: AgentLink, after: int) -> list[OutboxEntry]:
    if link.bundle_id <= after:
        return []
    row = policies.get_assignment(tx, link.org, link.vault)
    if row is None or row.version != link.bundle:  # a newer one is about to have its own id
        return []
    return [bundle_entry(link, row)]


def _cosignature(tx: Tx, link: AgentLink, after: int, sign: CosignFunction) -> list[OutboxEntry]:
    if link.checkpoint_id <= after:
        return []
    seen = cosigned_at(tx, link.org, link.vault, link.checkpoint)
    if seen is None:
        return []
    line = CheckpointCosignature(size=seen.size, root=seen.root, cosignature=sign(seen))
    return [
        OutboxEntry(
            link.checkpoint_id, MessageType.CHECKPOINT_COSIGNATURE, codec.encode_payload(line)
        )
    ]
