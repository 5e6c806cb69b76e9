"""What the agent's own requests say in their heads, and what one says beyond that. Pure.

A head is in no ledger, so whatever could be told in one must be known: these are all the fields
that the agent's websocket client and its HTTP client send, and what their values can be.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import urlsplit

from protocols.link.limits import PATH, SUBPROTOCOL

_END: Final = b"\r\n"
_HOST: Final = b"host"
_LINK: Final = {
    b"upgrade": rb"(?i:websocket)",
    b"connection": rb"(?i:upgrade)",
    b"sec-websocket-key": rb"[A-Za-z0-9+/]{22}==",
    b"sec-websocket-version": rb"13",
    b"sec-websocket-protocol": re.escape(SUBPROTOCOL.encode()),
}
_POST: Final = {
    b"accept": rb"\*/\*",
    b"connection": rb"keep-alive",
    b"user-agent": rb"python-httpx2?/\d{1,4}(\.\d{1,4}){1,3}",
    b"content-type": rb"application/json",
    b"accept-encoding": rb"identity",
    b"content-length": rb"\d{1,7}",
}
_KINDS: Final = (
    (rf"GET {re.escape(PATH)} HTTP/1\.1".encode(), _LINK),
    (rf"POST {re.escape(PATH)}/(enrol|join|renew|rejoin) HTTP/1\.1".encode(), _POST),
)


def hosts_of(peers: Iterable[str]) -> set[bytes]:
    """What `Host` says to the control planes at these addresses."""
    found = set()
    for peer in peers:
        parts = urlsplit(peer)
        name = parts.hostname or ""
        found |= {parts.netloc.lower(), name, f"[{name}]"}
    return {host.encode() for host in found}


def excess(head: bytes, hosts: Collection[bytes]) -> int:
    """Bytes of lines that the agent's own requests do not have; 0 for a head of theirs."""
    first, *lines = head.removesuffix(_END + _END).split(_END)
    known = next((fields for line, fields in _KINDS if re.fullmatch(line, first)), None)
    if known is None:
        return len(head)
    left = {_HOST: b"|".join(re.escape(host) for host in hosts), **known}
    size = 0
    for line in lines:
        name, _, value = line.partition(b": ")
        name = name.lower()
        if name in left and re.fullmatch(left[name], value.lower() if name == _HOST else value):
            del left[name]  # once
        else:
            size += len(line + _END)
    return size
