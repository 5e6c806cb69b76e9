"""The agent's HTTP server: HTTP/1.1 and HTTP/2 on Trio, with or without TLS, speaking ASGI."""

from protocols.http.limits import Limits
from protocols.http.server import Listener, ServerHandle, serve
from protocols.http.tls import TlsConfig

__all__ = ["Limits", "Listener", "ServerHandle", "TlsConfig", "serve"]
