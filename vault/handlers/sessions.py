"""Sessions: a browser's way in and out, and the list of one's own and of others'.

A browser's session is a child of the credential that somebody signed in with, so it can do no more
and ends with it; or it takes the place of the token that a login made. Its TTL is the idle timeout:
a page renews it while a person is there. `session_timeout` bounds it in all.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import NoReturn

from vault import operations
from vault.authn.sessions import SESSION_CREATE_PATH, SessionLimits, Sessions, is_session
from vault.authn.tokens import MAX_DISPLAY_NAME, IssuedToken, NewToken, Tokens
from vault.errors import AuthorizationError, ConflictError, NotFoundError
from vault.handlers.handler import Call, Handler, Handlers, handler_table
from vault.model.identity import ROOT_POLICY, Identity
from vault.model.operation import Capability, OperationType
from vault.model.payloads import Nothing, OpenSession, SessionSelector
from vault.model.records import TokenRow
from vault.model.results import BrowserSession, SessionInfo


@dataclass(frozen=True)
class SessionHandlers:
    """The handlers of `session.*`."""

    tokens: Tokens
    sessions: Sessions
    limits: SessionLimits

    def handlers(self) -> Handlers:
        """The operations of this file. Every caller may manage their own sessions."""
        return handler_table(
            Handler(
                operations.OPEN_SESSION,
                run=self.open,
                capability=None,
                mutates=True,
                is_self_service=True,
                audit_response=_audit_response,
            ),
            Handler(
                operations.READ_SESSION,
                run=self.current,
                capability=None,
                is_self_service=True,
                audit_response=_audit_response,
            ),
            replace(_mutation(operations.RENEW_SESSION, self.renew), is_self_service=True),
            replace(_mutation(operations.CLOSE_SESSION, self.close), precondition=self._own),
            Handler(
                operations.LIST_SESSIONS,
                run=self.list_own,
                capability=None,
                is_self_service=True,
                audit_response=_audit_list,
            ),
            Handler(
                operations.REVOKE_SESSION,
                run=self.revoke_own,
                capability=None,
                mutates=True,
                is_self_service=True,
                only_restricts=True,
            ),
            Handler(
                operations.LIST_USER_SESSIONS,
                run=self.list_of_user,
                capability=Capability.LIST,
                audit_response=_audit_list,
            ),
            Handler(
                operations.REVOKE_USER_SESSION,
                run=self.revoke_of_user,
                capability=Capability.DELETE,
                mutates=True,
                only_restricts=True,
            ),
            Handler(operations.REFUSE_SESSION, run=self.refuse, capability=None, only_refuses=True),
        )

    async def open(self, call: Call[OpenSession]) -> BrowserSession:
        """Sign in. Raises as `Tokens.create`, `ConflictError` (`signed_in`) by a session."""
        if call.identity.holds_token:
            own = await self.tokens.lookup_self(call.identity)
            if is_session(own):
                raise ConflictError("signed_in", "this is a session already: sign out first")
        address = call.op.origin.ip
        if call.payload.exchange:
            exchanged = await self.tokens.exchange(call.identity, address)
            return self._session(call.identity, exchanged.row, exchanged.text)
        new = NewToken(
            ttl=self.limits.idle_at_once,
            explicit_max_ttl=self.limits.timeout,
            display_name=call.identity.name[:MAX_DISPLAY_NAME],
            path=SESSION_CREATE_PATH,
        )
        issued: IssuedToken = await self.tokens.create(call.identity, new, address=address)
        return self._session(call.identity, issued.row, issued.text)

    async def current(self, call: Call[Nothing]) -> BrowserSession:
        """Who is signed in."""
        return self._session(call.identity, await self._own(call.identity))

    async def renew(self, call: Call[Nothing]) -> BrowserSession:
        """Somebody is there: the idle time begins anew."""
        row = await self._own(call.identity)
        issued = await self.tokens.renew(row, self.limits.idle_at_once)
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

    async def list_own(self, call: Call[Nothing]) -> list[SessionInfo]:
        """The caller's sessions."""
        return await self.sessions.list_own(call.identity, await self._stored(call.identity))

    async def revoke_own(self, call: Call[SessionSelector]) -> None:
        """End one of the caller's sessions. Raises `NotFoundError`."""
        own = await self._stored(call.identity)
        await self.sessions.revoke_own(call.identity, own, call.payload.accessor)

    async def list_of_user(self, call: Call[Nothing]) -> list[SessionInfo]:
        """The sessions of the user whose id ends the path. Raises `NotFoundError`."""
        return await self.sessions.list_of(call.identity, call.name)

    async def revoke_of_user(self, call: Call[SessionSelector]) -> None:
        """End a session of a user. Raises `NotFoundError`."""
        await self.sessions.revoke_of(call.name, call.payload.accessor)

    async def _stored(self, identity: Identity) -> TokenRow | None:
        return await self.tokens.lookup_self(identity) if identity.holds_token else None

    def _session(self, identity: Identity, row: TokenRow, text: str = "") -> BrowserSession:
        return BrowserSession(
            name=identity.name,
            policies=identity.policies,
            root=ROOT_POLICY in identity.policies,
            accessor=row.accessor,
            created_at=row.created_at,
            expires_at=row.expires_at,
            ends_at=row.created_at + row.explicit_max_ttl,
            idle=self.limits.idle_at_once,
            text=text,
        )


def _mutation(
    operation: OperationType[Nothing, BrowserSession],
    run: Callable[[Call[Nothing]], Awaitable[BrowserSession]],
) -> Handler[Nothing, BrowserSession]:
    return Handler(
        operation, run=run, capability=None, mutates=True, audit_response=_audit_response
    )


def _audit_list(found: list[SessionInfo]) -> object:
    """What the audit record tells: how many."""
    return {"count": len(found)}


def _audit_response(session: BrowserSession) -> object:
    """What the audit record tells: which session, never its text."""
    return {"accessor": session.accessor}
