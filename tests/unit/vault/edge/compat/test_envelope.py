"""Tests of the envelope."""

from actors.testing import FakeWorld
from vault.edge.compat.envelope import (
    data_reply,
    system_reply,
)
from vault.edge.request import Request
from vault.model.operation import Origin


def request() -> Request:
    """Any request."""
    return Request(
        id=FakeWorld().new_id(), method="GET", path="/v1/x", query={}, headers={}, body=b"",
        origin=Origin(ip="::1"),
    )  # fmt: skip


def test_all_keys_are_there_in_openbaos_order() -> None:
    """Clients decode absent keys as zero values, but some compare text."""
    reply = data_reply(request(), {"a": 1}, warnings=["w"])
    assert reply.status == 200
    assert reply.body == (
        b'{"request_id":"00000000-0000-4000-8000-000000000001","lease_id":"","renewable":false,'
        b'"lease_duration":0,"data":{"a":1},"wrap_info":null,"warnings":["w"],"auth":null}'
    )


def test_system_data_stands_twice() -> None:
    """Older clients read the keys of `sys/` at the top, newer ones in `data`."""
    body = system_reply(request(), {"term": 2}).body
    assert body.startswith(b'{"term":2,"request_id":')
    assert b'"data":{"term":2}' in body
