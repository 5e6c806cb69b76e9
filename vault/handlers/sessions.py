"""A browser's session: a token made from the credential that somebody signed in with.

It is a child of that credential, so it can do no more and ends with it. Its TTL is the idle
timeout: a page renews it while a person is there. `session_timeout` bounds it in all.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import NoReturn

from vault import operations
from vault.authn.sessions import SESSION_CREATE_PATH, is_session
from vault.authn.tokens import MAX_DISPLAY_NAME, IssuedToken, NewToken, Tokens
from vault.errors import AuthorizationError, ConflictError, NotFoundError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.identity import ROOT_POLICY, Identity
from vault.model.operation import OperationType
from vault.model.payloads import Nothing
from vault.model.records import TokenRow
from vault.model.results import BrowserSession


@dataclass(frozen=True)
class SessionHandlers:
    """The handlers of `session.*`. `idle_timeout` and `max_ttl` in ns."""

    tokens: Tokens
    idle_timeout: int
    max_ttl: int

    def handlers(self) -> Handlers:
        """The operations of this file. Every caller may manage their own sessions."""
        return handler_table(
            replace(_mutation(operations.OPEN_SESSION, self.open), is_self_service=True),
            Handler(
                operations.READ_SESSION,
                run=self.current,
                capability=None,
                is_self_service=True,
                audit_response=_audit_response,
            ),
            replace(_mutation(operations.RENEW_SESSION, self.renew), is_self_service=True),
            replace(_mutation(operations.CLOSE_SESSION, self.close), precondition=self._own),
            Handler(operations.REFUSE_SESSION, run=self.refuse, capability=None, only_refuses=True),
        )

    async def open(self, call: Call[Nothing]) -> BrowserSession:
        """Sign in. Raises as `Tokens.create`, `ConflictError` (`signed_in`) by a session."""
        if call.identity.holds_token:
            own = await self.tokens.lookup_self(call.identity)
            if is_session(own):
                raise ConflictError("signed_in", "this is a session already: sign out first")
        new = NewToken(
            ttl=self._at_once,
            explicit_max_ttl=self.max_ttl,
            display_name=call.identity.name[:MAX_DISPLAY_NAME],
            path=SESSION_CREATE_PATH,
        )
        issued: IssuedToken = await self.tokens.create(call.identity, new)
        return self._session(call.identity, issued.row, issued.text)

    async def current(self, call: Call[Nothing]) -> BrowserSession:
        """Who is signed in."""
        return self._session(call.identity, await self._own(call.identity))

    async def renew(self, call: Call[Nothing]) -> BrowserSession:
        """Somebody is there: the idle time begins anew."""
        row = await self._own(call.identity)
        issued = await self.tokens.renew(row, self._at_once)
        return self._session(call.identity, issued.row)

    async def close(self, call: Call[Nothing]) -> BrowserSession:
        """Sign out: the session and what came from it is over."""
        row = await self._own(call.identity)
        await self.tokens.revoke(row)
        return self._session(call.identity, row)

    async def refuse(self, _: Call[dict[str, str]]) -> NoReturn:
        """Put on record that a session came with a request that no page of ours made."""
        raise AuthorizationError(
            "csrf",
            "a browser may ask for this from our own pages only: reload the page and repeat it "
            "there, or send a token instead of the session's cookie",
        )

    async def _own(self, identity: Identity) -> TokenRow:
        if identity.holds_token:
            row = await self.tokens.lookup_self(identity)
            if is_session(row):
                return row
        raise NotFoundError(
            "no_session",
            "this credential is no browser's session: sign in on the agent's pages for one",
        )

    @property
    def _at_once(self) -> int:
        return min(self.idle_timeout, self.max_ttl)

    def _session(self, identity: Identity, row: TokenRow, text: str = "") -> BrowserSession:
        return BrowserSession(
            name=identity.name,
            policies=identity.policies,
            root=ROOT_POLICY in identity.policies,
            accessor=row.accessor,
            created_at=row.created_at,
            expires_at=row.expires_at,
            ends_at=row.created_at + row.explicit_max_ttl,
            idle=self._at_once,
            text=text,
        )


def _mutation(
    operation: OperationType[Nothing, BrowserSession],
    run: Callable[[Call[Nothing]], Awaitable[BrowserSession]],
) -> Handler[Nothing, BrowserSession]:
    return Handler(
        operation, run=run, capability=None, mutates=True, audit_response=_audit_response
    )


def _audit_response(session: BrowserSession) -> object:
    """What the audit record tells: which session, never its text."""
    return {"accessor": session.accessor}
