"""An authenticator app, by pyotp: not the code that is tested."""

import time
from urllib.parse import parse_qs, urlsplit

import pyotp

NEAR = 4  # steps to either side of now that no wrong code is of


class App:
    """What shows the codes of one `otpauth://` URL.

    `code()` and then `next_code()` count, whatever happens in between, for one step: a test that
    uses one and then the other has no moment at which it fails.
    """

    def __init__(self, url: str) -> None:
        self.fields = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
        self._totp = pyotp.TOTP(
            self.fields["secret"],
            digits=int(self.fields["digits"]),
            interval=int(self.fields["period"]),
        )

    def at(self, seconds: float) -> str:
        """The code of a time."""
        return self._totp.at(int(seconds))

    def code(self) -> str:
        """The code of now."""
        return self.at(time.time())

    def next_code(self) -> str:
        """The code of the next step."""
        return self.at(time.time() + self._totp.interval)

    def wrong_code(self, seconds: float = 0) -> str:
        """One that is not of any step near a time, or near now."""
        now = seconds or time.time()
        near = {self.at(now + n * self._totp.interval) for n in range(-NEAR, NEAR + 1)}
        return next(code for n in range(len(near) + 1) if (code := f"{n:06}") not in near)
