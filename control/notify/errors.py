"""Why a message did not arrive, in words of our own: a remote's text goes no further."""


class UndeliveredError(Exception):
    """It did not arrive."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RefusedError(UndeliveredError):
    """To try again would change nothing, and the other side is alive."""


class FailedError(UndeliveredError):
    """It may arrive another time. `after`: seconds that the other side wants us to wait."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after
