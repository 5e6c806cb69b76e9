"""Sessions: tokens that a person's API key was turned into. Bounded in time and in number.

What such a token makes in turn ends with it, so neither bound is asked for again further down.
"""

from typing import Final

from msgspec import Struct

from protocols.instant import SECOND
from vault.authn.credential_validity import KEY_PARENT, is_outside_validity
from vault.errors import ConflictError
from vault.model.records import TokenRow
from vault.store.table import MAX_LIMIT, StoreQuery
from vault.store.tables import TOKENS
from vault.store.transaction import StoreTx

SESSION_CREATE_PATH: Final = "sys/sessions"
"""`TokenRow.path` of a browser's session; the token API has its own paths, so it makes none."""


MOST_OF_TOKEN: Final = 100
"""Browser sessions of one token at a time: a team may share the first root token."""
_MOST_PAGES: Final = 10
"""Of a token's children that are looked at: one with more may make tokens without end anyway."""


def is_session(row: TokenRow) -> bool:
    """Whether a token is a browser's session, whose text is in a cookie and counts there alone."""
    return row.path == SESSION_CREATE_PATH


class SessionLimits(Struct, frozen=True, kw_only=True):
    """`timeout` in ns: how long a session lasts at most; `most` of one user at a time.

    The defaults are the design's (`authentication.session_timeout`, `max_sessions_per_user`).
    """

    timeout: int = 24 * 3600 * SECOND
    max_per_user: int = 10

    def max_ttl(self, explicit_max_ttl: int) -> int:
        """The explicit maximum of a session that asks for this one (0: none)."""
        return min(explicit_max_ttl or self.timeout, self.timeout)

    def admit_browser(self, tx: StoreTx, token_id: str, now: int) -> None:
        """Raise `ConflictError` (`sessions_full`) when a token has as many as it may."""
        live, after = 0, None
        for _ in range(_MOST_PAGES):
            page = tx.select(TOKENS, StoreQuery(equals={"parent": token_id}, after=after))
            live += sum(is_session(row) and not is_outside_validity(row, now) for row in page)
            if live >= MOST_OF_TOKEN:
                raise ConflictError(
                    "sessions_full",
                    f"there are {MOST_OF_TOKEN} browser sessions of this token, the most there "
                    "may be: sign out of one, or wait until one ends",
                )
            if len(page) < MAX_LIMIT:
                return
            after = (page[-1].id,)

    def require_capacity(self, tx: StoreTx, user_id: str, now: int) -> None:
        """Raise `ConflictError` (`sessions_full`) when the user has the maximum."""
        live, after = 0, None
        while True:
            page = tx.select(TOKENS, StoreQuery(equals={"user_id": user_id}, after=after))
            sessions = (row for row in page if row.parent.startswith(KEY_PARENT))
            live += sum(not is_outside_validity(row, now) for row in sessions)
            if live >= self.max_per_user:
                raise ConflictError(
                    "sessions_full",
                    f"there are {self.max_per_user} sessions of this user, the most there may be: "
                    "revoke one that is no longer needed",
                )
            if len(page) < MAX_LIMIT:
                return
            after = (page[-1].id,)
