"""The interface between the gateway and live views: links, messages, glimpses on demand."""

from typing import Protocol

from protocols.link import messages as m


class ObservedLink(Protocol):
    """One agent's connection, as live views see it."""

    since: int
    """Unix nanoseconds."""
    health: str
    sync: str
    acknowledged: int
    """Up to which id of ours the agent has said that it has them."""

    def observe(self, seconds: int) -> None:
        """Have the agent report more of itself for so long, if it is ready for a message."""
        ...


class LinkObserver(Protocol):
    """Is called for links and messages. Its methods do not wait."""

    def on_linked(self, org: str, vault: str, link: ObservedLink) -> None:
        """This connection of the agent is the active one from now on."""
        ...

    def on_unlinked(self, org: str, vault: str, link: ObservedLink) -> None:
        """This connection has ended."""
        ...

    def on_message(self, org: str, vault: str, message: m.Message) -> None:
        """A message of the agent that is not stored, or one that was stored just now."""
        ...


class NullLinkObserver:
    """Ignores everything."""

    def on_linked(self, org: str, vault: str, link: ObservedLink) -> None:
        """See `LinkObserver`."""

    def on_unlinked(self, org: str, vault: str, link: ObservedLink) -> None:
        """See `LinkObserver`."""

    def on_message(self, org: str, vault: str, message: m.Message) -> None:
        """See `LinkObserver`."""
