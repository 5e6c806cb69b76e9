"""OIDC's way back: a browser, or the command line that it came back to, presents state and code."""

from typing import Final

from vault.authn.methods.oidc_flow import CALLBACK
from vault.edge.compat.auth_methods import log_in, log_in_with
from vault.edge.dialect import Dialect
from vault.edge.reply import Reply
from vault.edge.request import Request
from vault.edge.router import Router
from vault.model.records import AuthMountRow

routes: Final = Router()


@routes.add("GET", template=CALLBACK, public=True)
async def call_back(dialect: Dialect, request: Request, mount: AuthMountRow) -> Reply:
    """Log in by what the provider put into the URL."""
    return await log_in_with(dialect, request, mount, CALLBACK, dict(request.query))


@routes.add("POST", template=CALLBACK, public=True)
async def post_back(dialect: Dialect, request: Request, mount: AuthMountRow) -> Reply:
    """Log in by what the body has."""
    return await log_in(dialect, request, mount, CALLBACK)
