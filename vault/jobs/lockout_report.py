"""One alert a minute of the credentials that were locked out: a guesser makes no more of them."""

from collections.abc import Callable

from protocols.link.vocabulary import AlertCode


class LockoutReport:
    """Raises an alert that says how many lockouts began since the last one."""

    def __init__(self, begun: Callable[[], int], alert: Callable[[AlertCode, int], None]) -> None:
        """`begun` returns how many lockouts began in all; `alert` is `LinkPorts.raise_alert`."""
        self._begun = begun
        self._alert = alert
        self._told = begun()

    async def __call__(self) -> None:
        """Report what is new."""
        now = self._begun()
        if now != self._told:
            self._alert(AlertCode.LOCKOUT, now - self._told)
            self._told = now
