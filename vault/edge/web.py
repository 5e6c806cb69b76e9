"""The agent's own web interface: its pages in front of the API, its live feed beside it."""

import logging
from collections.abc import Mapping
from typing import Final

from protocols.http.asgi import App, Receive, Scope, Send
from ui.web.files import File
from ui.web.site import Site

PAGE_PATH: Final = "/agent.html"

log: Final = logging.getLogger("freehold.agent")


def with_web_interface(app: App, live: App, files: Mapping[str, File]) -> App:
    """Websockets are the feed's, pages the build's, everything else the API's.

    Without a build programs are served all the same.
    """
    http = app
    if PAGE_PATH in files:
        http = Site(files, PAGE_PATH, app)
    else:
        log.warning("the web interface is not built (make setup builds it): the API alone")

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        await (live if scope["type"] == "websocket" else http)(scope, receive, send)

    return either
