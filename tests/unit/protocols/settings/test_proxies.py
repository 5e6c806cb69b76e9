"""Which proxies the settings may name."""

import pytest
from pydantic import ValidationError

from protocols.http.asgi import Receive, Scope, Send
from protocols.http.local_only import LocalOnly
from protocols.http.server_state import refuse_as_json
from protocols.http.trusted_proxies import ForwardingHeader, ProxyMiddleware, ProxyTrust
from protocols.settings.proxies import ProxySettings


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Any."""
    raise AssertionError


def test_nobody_is_believed_by_default() -> None:
    """The application is reached as it is: no header says who comes."""
    assert ProxySettings().wrap_app(app, tls=True, refuse=refuse_as_json) is app
    assert ProxySettings().header is ForwardingHeader.X_FORWARDED_FOR


def test_proxies_are_named_one_by_one_or_by_network() -> None:
    """From the file, as it is written there."""
    told = {"addresses": ["10.0.0.1", "2001:db8::/64"], "header": "forwarded"}
    made = ProxySettings.model_validate(told)
    assert made.header is ForwardingHeader.FORWARDED
    assert isinstance(made.wrap_app(app, tls=False, refuse=refuse_as_json), ProxyMiddleware)


def test_without_proxies_and_tls_clients_name_this_machine() -> None:
    """A page whose name was pointed at loopback gets nothing."""
    assert isinstance(ProxySettings().wrap_app(app, tls=False, refuse=refuse_as_json), LocalOnly)


@pytest.mark.parametrize("wrong", ["0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example", "*"])
def test_not_everybody_is_a_proxy(wrong: str) -> None:
    """Nor is a name one, or a network with a slip in it."""
    with pytest.raises(ValidationError):
        ProxySettings.model_validate({"addresses": [wrong]})


def test_the_proxy_protocol_is_of_named_proxies() -> None:
    """The server has read it: no application between looks at HTTP headers."""
    with pytest.raises(ValidationError, match="name the proxies in"):
        ProxySettings.model_validate({"header": "proxy-protocol"})
    told = {"addresses": ["10.0.0.1"], "header": "proxy-protocol"}
    made = ProxySettings.model_validate(told)
    assert made.wrap_app(app, tls=False, refuse=refuse_as_json) is app
    trusts = made.trust_predicate()
    assert trusts("10.0.0.1") is trusts("::ffff:10.0.0.1") is ProxyTrust.PROXY_PROTOCOL
    assert trusts("10.0.0.2") is ProxyTrust.NONE
    by_header = ProxySettings.model_validate({"addresses": ["10.0.0.1"]}).trust_predicate()
    assert by_header("10.0.0.1") is ProxyTrust.HTTP_HEADER
