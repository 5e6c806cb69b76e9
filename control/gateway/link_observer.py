"""Who looks at agents as they are now: it is told, and may ask an agent to say more of itself."""

from typing import Protocol

from protocols.link import messages as m


class ObservedLink(Protocol):
    """One agent's connection, as its audience sees it."""

    since: int
    """Unix nanoseconds."""
    health: str
    sync: str
    acknowledged: int
    """Up to which id of ours the agent has said that it has them."""

    def observe(self, seconds: int) -> None:
        """Have the agent say more of itself for so long, if it can be told anything now."""
        ...


class LinkObserver(Protocol):
    """What it is told. Nothing here waits."""

    def on_linked(self, org: str, vault: str, link: ObservedLink) -> None:
        """This connection of the agent counts from now on."""
        ...

    def on_unlinked(self, org: str, vault: str, link: ObservedLink) -> None:
        """This connection is over."""
        ...

    def on_message(self, org: str, vault: str, message: m.Message) -> None:
        """The agent said this for the moment, or what it said is stored."""
        ...


class NullLinkObserver:
    """No audience."""

    def on_linked(self, org: str, vault: str, link: ObservedLink) -> None:
        """See `LinkObserver`."""

    def on_unlinked(self, org: str, vault: str, link: ObservedLink) -> None:
        """See `LinkObserver`."""

    def on_message(self, org: str, vault: str, message: m.Message) -> None:
        """See `LinkObserver`."""
