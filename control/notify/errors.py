"""Reasons for messages that did not arrive, in our own words: a remote's text goes no further."""

from typing import Final

UNREACHABLE: Final = (
    "it cannot be reached: check its name and port; a private address takes notify.private in the"
    " settings, and the control plane's log says more"
)
"""For a name that does not resolve, an address that is not allowed, and a connection that fails:
otherwise whoever names hosts learns which names and ports there are inside (SSRF)."""


class DeliveryError(Exception):
    """The message was not delivered."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PermanentDeliveryError(DeliveryError):
    """A retry would change nothing, and the receiver is alive."""


class TransientDeliveryError(DeliveryError):
    """A retry may succeed. `retry_after`: seconds that the receiver wants us to wait."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
