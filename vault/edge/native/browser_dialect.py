"""The native dialect for browsers, too: a session's cookie and key stand for the credential.

Used in place of `NativeDialect` while the web interface is on, so that without it no request is
looked at for cookies.
"""

from msgspec.structs import replace

from actors.world import World
from vault import operations
from vault.edge.browser_sessions import BrowserSessions
from vault.edge.native.dialect import NativeDialect
from vault.edge.request import Request
from vault.edge.service import VaultService
from vault.model.operation import Operation, OperationType, P, R, ResponseBudget
from vault.model.path import ResourcePath


class BrowserNativeDialect(NativeDialect):
    """A credential in a header counts first; a session from our own page next."""

    def __init__(self, service: VaultService, world: World, browsers: BrowserSessions) -> None:
        super().__init__(service, world)
        self.browsers = browsers

    def credential(self, request: Request) -> str | None:
        """As every dialect, else that of the session, if our own page sent it."""
        found = super().credential(request)
        if found is not None or b"cookie" not in request.headers or self.browsers is None:
            return found
        visit = self.browsers.read_request(request)
        return visit.credential if visit.credential and visit.same_origin else None

    async def knows(self, request: Request) -> bool:
        """As every dialect; a session counts as a browser's."""
        if b"cookie" in request.headers and super().credential(request) is None:
            request.origin = replace(request.origin, browser=True)
        return await super().knows(request)

    async def run_operation(
        self,
        request: Request,
        operation: OperationType[P, R],
        path: ResourcePath,
        payload: P,
        *,
        part: str = "",
        memory: ResponseBudget | None = None,
    ) -> R:
        """Run it. A session that is not shown whole by our own page is refused, on record."""
        if b"cookie" in request.headers and super().credential(request) is None:
            if self.credential(request) is None:
                await self._refuse(request, path)
            request.origin = replace(request.origin, browser=True)
        return await super().run_operation(
            request, operation, path, payload, part=part, memory=memory
        )

    async def _refuse(self, request: Request, path: ResourcePath) -> None:
        """Raises `AuthenticationError` for a cookie alone, else `AuthorizationError` (`csrf`)."""
        visit = None if self.browsers is None else self.browsers.read_request(request)
        if visit is None or not visit.has_cookie:
            return
        op = Operation(
            type=operations.REFUSE_SESSION,
            path=path,
            payload={"method": request.method},
            request_id=request.id,
            credential=visit.credential or None,
            origin=replace(request.origin, browser=True),
        )
        request.reached_pipeline = True
        await self.service.run_operation(op)
