"""Four ways to a certificate, and nothing else."""

import json

import pytest
import sqlalchemy as sa

from control.errors import UnavailableError
from control.gateway.enrolment_server import EnrolmentServer
from control.model.agents import Life
from control.model.people import PLATFORM
from control.model.records import AuditEvent
from control.store import audit_records
from control.store.tables import ca_certificates
from protocols.link_transport.https_request import HttpRequest, HttpResponse
from protocols.pki.keys import KeyKind, new_curve_key, new_signing_key
from protocols.pki.messages import (
    EnrolRequest,
    Grant,
    JoinRequest,
    RejoinRequest,
    RenewRequest,
    decode_response,
)
from protocols.pki.messages import encode_message as encoded
from protocols.pki.proof import sign_binding
from protocols.pki.requests import create_csr
from tests.unit.control.gateway.wired import Hub


@pytest.fixture
def desk(hub: Hub) -> EnrolmentServer:
    """Over the plane's CA."""
    return EnrolmentServer(
        hub.office,
        hub.core.audit.log,
        hub.world,
        hub.core.enrolment_hooks.on_admitted,
        hub.core.agents.alerts,
    )


async def refusals(hub: Hub, org: str) -> list[AuditEvent]:
    """Of an organization's trail, the newest first."""
    found = await hub.core.audit.log.newest_events(org, 0, 500)
    return [event for event in found if event.result == "denied"]


async def ask(
    desk: EnrolmentServer, path: str, body: object, certificate: bytes | None = None
) -> HttpResponse:
    """One request."""
    content = body if isinstance(body, bytes) else encoded(body)  # type: ignore[arg-type]
    return await desk(HttpRequest("POST", path, certificate, "192.0.2.7", content))


def asking(token: str = "") -> EnrolRequest:
    """With fresh keys."""
    key, csr = new_signing_key(), create_csr(new_curve_key(KeyKind.LEAF))
    public = key.public_key().public_bytes_raw()
    return EnrolRequest(token=token, csr=csr, link_key=public, proof=sign_binding(key, csr))


async def test_a_token_lets_in_and_is_on_record(hub: Hub, desk: EnrolmentServer) -> None:
    """Before the certificate is handed out."""
    made = await hub.office.enrolment.create_token("acme", "one", "ann")
    request = asking(made.text)
    answer = await ask(desk, "/link/v1/enrol", request)
    assert answer.status == 200
    grant = decode_response(answer.body)
    assert isinstance(grant, Grant)
    assert (grant.org, grant.vault) == ("acme", "one")
    events = await hub.core.store.read(
        lambda tx: audit_records.list_newest_events(tx, "acme", before=0, limit=10)
    )
    [event] = [e for e in events if e.operation == "link.enrol"]
    assert (event.target, event.ip, event.result) == ("one", "192.0.2.7", "ok")
    assert made.text not in str(event)
    assert (await ask(desk, "/link/v1/enrol", request)).body == answer.body


async def test_renewal_needs_the_certificate(hub: Hub, desk: EnrolmentServer) -> None:
    """Which the connection shows."""
    one = await hub.enrolled("one")
    csr = create_csr(new_curve_key(KeyKind.LEAF))
    refused = await ask(desk, "/link/v1/renew", RenewRequest(csr=csr))
    assert (refused.status, json.loads(refused.body)["code"]) == (401, "certificate_missing")
    granted = await ask(desk, "/link/v1/renew", RenewRequest(csr=csr), one.grant.chain[0])
    assert json.loads(granted.body)["generation"] == 2


async def test_who_renews_again_and_again_fills_no_disk(hub: Hub, desk: EnrolmentServer) -> None:
    """The same key is answered and leaves one record; another is told when to come again."""
    one = await hub.enrolled("one")
    hub.world.advance(1)
    request = RenewRequest(csr=create_csr(new_curve_key(KeyKind.LEAF)))
    answers = [await ask(desk, "/link/v1/renew", request, one.grant.chain[0]) for _ in range(3)]
    assert {answer.body for answer in answers} == {answers[0].body}
    granted = decode_response(answers[0].body)
    assert isinstance(granted, Grant)
    other = RenewRequest(csr=create_csr(new_curve_key(KeyKind.LEAF)))
    for _ in range(3):
        refused = await ask(desk, "/link/v1/renew", other, granted.chain[0])
        assert (refused.status, json.loads(refused.body)["code"]) == (429, "renewed_just_now")
        assert (b"retry-after", b"60") in refused.headers
    found = await hub.core.audit.log.newest_events("acme", 0, 500)
    assert [event.result for event in found if event.operation == "link.renew"] == ["ok"]
    rows = await hub.core.store.read(
        lambda tx: tx.execute(sa.select(sa.func.count()).select_from(ca_certificates)).scalar()
    )
    assert rows == 2


async def test_a_request_to_join_waits_for_a_person(desk: EnrolmentServer) -> None:
    """202, with what to show and when to ask again."""
    request = asking()
    join = JoinRequest(csr=request.csr, link_key=request.link_key, proof=request.proof, org="acme")
    answer = await ask(desk, "/link/v1/join", join)
    assert (answer.status, json.loads(answer.body)["type"]) == (202, "pending")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/link/v1/enrol", b"{", 400, "request_invalid"),
        ("/link/v1/enrol", b"x" * 9000, 400, "request_invalid"),
        ("/link/v1/enrol?x", b"{}", 404, "not_found"),
        ("/link/v1/", b"{}", 404, "not_found"),
        ("/enrol", b"{}", 404, "not_found"),
        ("/link/v1/rejoin/x", b"{}", 404, "not_found"),
    ],
)
async def test_everything_else_is_a_typed_error(
    desk: EnrolmentServer, path: str, body: bytes, status: int, code: str
) -> None:
    """With an id, and without a word of what was sent."""
    answer = await ask(desk, path, body)
    told = json.loads(answer.body)
    assert (answer.status, told["code"]) == (status, code)
    assert told["request_id"]


async def test_a_wrong_token_is_denied_without_a_reason(hub: Hub, desk: EnrolmentServer) -> None:
    """And it is on the platform's trail, without the token: it is no organization's."""
    token = "fhe_" + "0" * 43
    answer = await ask(desk, "/link/v1/enrol", asking(token))
    assert answer.status == 401
    assert b"fhe_" not in answer.body
    [event] = await refusals(hub, PLATFORM)
    assert (event.operation, event.code, event.ip) == ("link.enrol", "token_refused", "192.0.2.7")
    assert (event.target, event.request_id) == ("", json.loads(answer.body)["request_id"])
    assert token not in str(event)


async def test_a_refusal_is_on_the_trail_of_whom_it_concerns(
    hub: Hub, desk: EnrolmentServer
) -> None:
    """A token that was used, a certificate that counts no more; a name that is only said is not."""
    made = await hub.office.enrolment.create_token("acme", "one", "ann")
    granted = decode_response((await ask(desk, "/link/v1/enrol", asking(made.text))).body)
    assert isinstance(granted, Grant)
    assert (await ask(desk, "/link/v1/enrol", asking(made.text))).status == 401
    await hub.core.agents.registry.change_life("acme", "one", Life.LOCKED, "lost")
    csr = create_csr(new_curve_key(KeyKind.LEAF))
    await ask(desk, "/link/v1/renew", RenewRequest(csr=csr), granted.chain[0])
    rejoin = RejoinRequest(
        org="acme", vault="one", serial="0" * 40, csr=csr, proof=bytes(64), held=bytes(70)
    )
    await ask(desk, "/link/v1/rejoin", rejoin)
    own = await refusals(hub, "acme")
    assert [(e.operation, e.target, e.code) for e in own] == [
        ("link.renew", "one", "certificate_refused"),
        ("link.enrol", "one", "token_refused"),
    ]
    [said] = await refusals(hub, PLATFORM)
    assert (said.operation, said.target, said.code) == ("link.rejoin", "acme/one", "rejoin_refused")


async def test_a_flood_of_refusals_does_not_fill_the_disk(hub: Hub, desk: EnrolmentServer) -> None:
    """Each client leaves a few, all together a few more; how many there were is told once."""
    for _ in range(30):
        await ask(desk, "/link/v1/enrol", asking("fhe_" + "0" * 43))
    assert len(await refusals(hub, PLATFORM)) == 10
    await desk.refusals.record_suppressed()
    told, *_ = await refusals(hub, PLATFORM)
    assert (told.operation, told.ip) == ("link.refused", "192.0.2.7")
    assert told.detail == {"count": 20, "clients": 1, "most": 20}
    await desk.refusals.record_suppressed()
    assert len(await refusals(hub, PLATFORM)) == 11


async def test_a_refusal_stands_without_its_record(
    hub: Hub, desk: EnrolmentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database fails at that moment: the answer is the refusal all the same."""

    async def broken(*_: object) -> None:
        raise UnavailableError("store_unavailable", "not now")

    monkeypatch.setattr(hub.core.audit.log, "record", broken)
    assert (await ask(desk, "/link/v1/enrol", asking("fhe_" + "0" * 43))).status == 401


async def test_another_method_is_told_the_right_one(desk: EnrolmentServer) -> None:
    """As HTTP has it."""
    answer = await desk(HttpRequest("PUT", "/link/v1/enrol", None, "", b"{}"))
    assert answer.status == 405
    assert (b"allow", b"POST") in answer.headers


async def test_a_fault_of_ours_is_told_as_ours(
    hub: Hub, desk: EnrolmentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its text; the log has its place."""

    async def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(type(hub.office.enrolment), "enrol_agent", broken)
    answer = await ask(desk, "/link/v1/enrol", asking("t"))
    assert answer.status == 500
    assert b"secret" not in answer.body


async def test_a_clock_that_is_behind_is_told_to_people_once(
    hub: Hub, desk: EnrolmentServer
) -> None:
    """The agent is told to come again; the organization's people get one alert of it an hour."""
    made = await hub.office.enrolment.create_token("acme", "one", "ann")
    hub.office.issuer.clock_guard.earliest = hub.world.now() + 2 * 3600 * 10**9
    for _ in range(2):
        answer = await ask(desk, "/link/v1/enrol", asking(made.text))
        assert (answer.status, json.loads(answer.body)["code"]) == (503, "clock_behind")
    told = await hub.core.agents.alerts.list_alerts("acme", vault="", before=0, limit=9)
    assert [one.code for one in told] == ["clock_behind"]
    hub.office.issuer.clock_guard.earliest = 0
    assert (await ask(desk, "/link/v1/enrol", asking(made.text))).status == 200


async def test_what_time_it_was_is_known_from_the_trail(hub: Hub, desk: EnrolmentServer) -> None:
    """Of all chains; a process that starts asks it (`open_control_plane`)."""
    assert await hub.core.store.read(audit_records.newest_event_at) == 0
    made = await hub.office.enrolment.create_token("acme", "one", "ann")
    await ask(desk, "/link/v1/enrol", asking(made.text))
    assert await hub.core.store.read(audit_records.newest_event_at) == hub.world.now()
