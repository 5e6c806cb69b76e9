"""What a browser makes of hostile texts: the agent's own pages, with one in every field.

How they got in, and what else an attacker tries, is in tests/acceptance/native/test_attacker.py.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import Browser, expect

from tests.acceptance.agent import Agent
from tests.acceptance.declared import hostile
from tests.acceptance.link.estate import until
from tests.acceptance.native.attack import FREE, found, plant, put
from tests.browser.conftest import Looking
from tests.browser.estate import Estate
from tests.browser.keyboard import still
from tests.browser.lone import looking
from tests.browser.visit import PATIENCE, Visit

PAGES = (
    "/", "/secrets?prefix=secret/held/", "/policies", "/dry-run", "/users", "/audit",
    "/audit?tab=search", "/audit?tab=verify", "/sent", "/health", "/actors", "/link",
)  # fmt: skip
HIDDEN = {
    "dynamic_write_connection value.*", "dynamic_write_connection value.* key",
    "roles_write description", "system_make_mount description", "system_change_mount description",
    "tokens_create display_name", "tokens_create metadata.*", "tokens_create metadata.* key",
    "auth_enable description", "auth_tune description",
    "rotations_write_policy notify.channels.[]", "entities_write_alias name",
    *(
        f"{place}.*{key}"
        for place in (
            "groups_create metadata", "groups_update metadata",
            "entities_write_alias custom_metadata",
        )
        for key in ("", " key")
    ),
}  # fmt: skip
"""What these pages do not say: roles, mounts, tokens, connections, groups have none."""
CALLED = hostile(902)
"""What a client calls itself."""
DESCRIBED, RULED = hostile(903), hostile(904)
"""What a control plane's policy says."""
POLICY = "besieging"
EVERYTHING = {"effect": "allow", "paths": ["*"], "capabilities": ["*"]}
_TEXTS = """() => [document.body.innerText,
    ...[...document.querySelectorAll("input, textarea, [title]")].map(e => e.value ?? e.title)
].join("\\n")"""
_EVIL = """<!doctype html><body></body><script>
    const say = word => document.body.append(word + " ");
    const all = {credentials: "include"};
    const frame = document.createElement("iframe");
    frame.src = "http://AGENT/";
    document.body.append(frame);
    (async () => {
        await fetch("http://AGENT/api/v1/system/seal", {...all, method: "POST", mode: "no-cors"});
        say("sent");
        await new Promise(done => {
            const socket = new WebSocket("ws://AGENT/api/v1/live", ["freehold.live"]);
            socket.onopen = () => done(say("opened"));
            socket.onerror = () => done(say("refused"));
        });
        await fetch("http://AGENT/api/v1/secrets/secret/app/db", all)
            .then(() => say("read"), () => say("read-nothing"));
    })();
</script>"""
expect.set_options(timeout=PATIENCE)


def test_nothing_that_anybody_wrote_is_run(look: Looking, agent: Agent) -> None:
    """It is shown as it was written: secrets, their values, policies, users, keys, records."""
    planted = [each for each in plant(agent) if each.taken]
    called = {"User-Agent": CALLED}
    assert agent.call("GET", "/api/v1/secrets/secret/app/db", headers=called).status == 200
    with look() as window:
        listen(window)
        window.open("/")
        seen = "\n".join(texts(window, path) for path in PAGES)
        seen += recorded(window)
        for path in sorted({each.seen_at for each in planted} - {""}):
            seen += texts(window, path)
        missing = {each.place for each in planted if each.text not in seen}
        assert missing == HIDDEN
        assert CALLED in seen
        named = next(each.text for each in planted if each.place == "secrets_create name")
        assert named in texts(window, "/audit?tab=search&path=secret/held/")
    assert {each.place for each in planted} == FREE


def test_what_a_control_plane_sends_is_text(chromium: Browser, estate: Estate) -> None:
    """Its policies, in every free text that the agent takes, on every page of the agent."""
    plane, agent = estate.plane, estate.agents["one"]
    rule = {"effect": "deny", "paths": [RULED], "capabilities": ["read"]}
    document = {"description": DESCRIBED, "rules": [rule]}
    put(agent, "PUT", "policies/sees", {"rules": [EVERYTHING]})
    token = put(agent, "POST", "tokens", {"policies": ["sees", POLICY]})["token"]
    at = f"organizations/acme/policies/{POLICY}"
    plane.want(201, "POST", f"{at}/versions", {"document": document, "comment": DESCRIBED})
    plane.want(200, "PUT", f"{at}/targets", {"targets": [{"vault": "one"}]})
    plane.want(201, "POST", f"{at}/rollouts", {"version": 1, "plan": {}})
    try:
        until(lambda: effective(agent, token), "the policy at the agent")
        with looking(chromium, agent, credential=token) as window:
            listen(window)
            window.open("/")
            seen = "\n".join(texts(window, path) for path in (*PAGES, f"/policies/{POLICY}"))
            window.faults[:] = [fault for fault in window.faults if "404" not in fault]
    finally:
        plane.want(200, "PUT", f"{at}/targets", {"targets": []})
    assert DESCRIBED in seen
    assert RULED in seen


def test_another_program_of_this_machine_gets_nowhere(look: Looking, agent: Agent) -> None:
    """A page of another port is of the same site, so the cookie comes along: refused, on record.

    The server behind it gets the cookie, too, and it says what it likes: that is not enough.
    """
    seen: list[str] = []
    evil = _EVIL.replace("AGENT", f"127.0.0.1:{agent.port}")
    with look() as window, elsewhere(evil, seen) as address:
        page = window.page
        with page.expect_console_message(lambda told: "frame-ancestors" in told.text):
            page.goto(address)  # nothing of ours is shown inside another page
        expect(page.locator("body")).to_have_text("sent refused read-nothing")
        window.faults.clear()  # what the browser says of all that
        stolen = next(cookie for cookie in seen if f"freehold-agent-{agent.port}=" in cookie)
        for path in ("secrets/secret/app/db", "sessions/current", "live"):
            told = {"Cookie": stolen, "Origin": agent.address, "Sec-Fetch-Site": "same-origin"}
            answer = agent.call("GET", f"/api/v1/{path}", token="", headers=told)
            assert answer.status in {401, 404}, (path, answer.body)  # 404: no websocket
        window.open("/health")
        window.see("Live")
    refused = found(agent, "operation=session.refuse&result=denied")
    assert {event["path"] for event in refused} >= {"sys/seal", "sys/live", "secret/app/db"}
    assert {event["code"] for event in refused} == {"unauthenticated"}
    assert found(agent, "operation=system.seal") == []


@contextmanager
def elsewhere(page: str, seen: list[str]) -> Iterator[str]:
    """A server of somebody else's on this machine, with one page; its address.

    `seen`: the cookies that browsers send it.
    """

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """The page, whatever is asked for."""
            seen.append(self.headers.get("Cookie", ""))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server, ThreadPoolExecutor(1) as threads:
        threads.submit(server.serve_forever)
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def effective(agent: Agent, token: str) -> bool:
    """Whether the control plane's policy counts for whoever has this token."""
    found = agent.call("GET", "/api/v1/policies-effective", token=token).json
    return any(policy["name"] == POLICY for policy in found["fleet"])


def listen(window: Visit) -> None:
    """Whatever runs says so by a dialog, and that is a fault."""
    window.page.on("dialog", lambda dialog: window.faults.append(f"RAN: {dialog.message}"))


def texts(window: Visit, path: str) -> str:
    """All that the page says, once it has loaded, and each value on it. No text is an element."""
    page = window.page
    window.go(path)
    page.get_by_role("heading", level=1).wait_for()
    still(window, path)
    for button in page.get_by_role("button", name="Reveal value").all():
        button.click()
        page.get_by_role("button", name="Hide", exact=True).wait_for()
    assert page.locator("main img, body script").count() == 0, path
    found: str = page.evaluate(_TEXTS)
    return found


def recorded(window: Visit) -> str:
    """What a record says once it is chosen: of the read by a client of a hostile name."""
    texts(window, "/audit?tab=search&operation=secret.read&path=secret/app/db")
    window.page.get_by_role("group", name="Results").focus()
    for key in ("Home", "Enter"):
        window.page.keyboard.press(key)
    window.see("Client")
    found: str = window.page.evaluate(_TEXTS)
    return found
