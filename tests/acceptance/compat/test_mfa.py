"""Second factors in Vault's dialect: OpenBao and Freehold are asked the same, and answer the same.

What differs by intent is in docs/reference/vault-api.md: errors tell less of what is wrong.
"""

import json
import os
import pty
import re
import select
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tests.acceptance.compat import acl_decisions
from tests.acceptance.compat.servers import BAO, Server
from tests.support.totp import App

T = TypeVar("T")
Both = tuple[Server, Server]
METHOD = "identity/mfa/method/totp"
ENFORCEMENT = "identity/mfa/login-enforcement"
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
PEOPLE = "auth/mfa-people"
LOGIN = f"{PEOPLE}/login/eve"
VALIDATE = "sys/mfa/validate"
RIGHT = {"password": "right"}
PATIENCE = 60.0  # seconds


class Story:
    """Asks one server, and keeps what it answers with names for what is another each time."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.told: list[tuple[str, int, Any]] = []
        self._names: dict[str, str] = {}

    def name(self, value: str, as_: str) -> str:
        """Show a value by this name from now on."""
        self._names[value] = as_
        return value

    def ask(
        self, verb: str, path: str, body: Any = None, *, token: str = "", **headers: str
    ) -> Any:
        """The answer; what it says is kept."""
        answer = acl_decisions.ask(
            self.server,
            verb,
            f"/v1/{path}",
            body,
            token=token,
            headers={name.replace("_", "-"): text for name, text in headers.items()},
        )
        found = answer.json() if answer.content else None
        shown = {key: (found or {}).get(key) for key in ("errors", "data", "auth", "warnings")}
        asked = self._shown([verb, path, body])
        self.told.append((asked, answer.status_code, self._shown(shown)))
        return found

    def _shown(self, what: Any) -> str:
        text = json.dumps(what, sort_keys=True)
        for value, name in self._names.items():
            text = text.replace(value, name)
        text = re.sub(r'"barcode": "[^"]+"', '"barcode": "PNG"', text)
        text = re.sub(r'"url": "[^"]+"', '"url": "URL"', text)
        text = re.sub(r'"(accessor|client_token)": "[^"]+"', r'"\1": "SECRET"', text)
        return ID.sub("ID", text)


def tell(server: Server) -> list[tuple[str, int, Any]]:
    """A method, an enforcement, logins that wait, factors, and their end."""
    story = Story(server)
    story.ask("POST", "sys/auth/mfa-people", {"type": "userpass"})
    mounts = acl_decisions.ask(server, "GET", "/v1/sys/auth").json()
    accessor = story.name(mounts["mfa-people/"]["accessor"], "ACCESSOR")
    story.ask("POST", f"{PEOPLE}/users/eve", {"password": "right", "token_policies": "default"})
    method = _methods(story)
    _enforcements(story, method, accessor)
    story.ask("POST", LOGIN, RIGHT)
    entity = story.name(_entity(server, accessor), "ENTITY")
    story.ask("POST", f"identity/entity/id/{entity}", {"policies": ["mfa-of-entity"]})
    first = story.ask("POST", LOGIN, RIGHT)["auth"]["mfa_requirement"]["mfa_request_id"]
    story.ask("POST", LOGIN, {"password": "wrong"})
    app = _factors(story, method, entity)
    _second_phase(story, method, first, app)
    _ends(story, method, entity)
    return story.told


def _methods(story: Story) -> str:
    """Those that are refused, and one that is made and changed."""
    ask = story.ask
    for fields in (
        {},
        {"issuer": "x", "period": 0},
        {"issuer": "x", "digits": 7},
        {"issuer": "x", "algorithm": "md5"},
        {"issuer": "x", "key_size": 0},
        {"issuer": "x", "skew": 3},
        {"issuer": "x", "max_validation_attempts": -1},
    ):
        ask("POST", METHOD, fields)
    made = ask("POST", METHOD, {"issuer": "x", "method_name": "mfa-one"})["data"]["method_id"]
    method = story.name(made, "METHOD")
    ask("POST", METHOD, {"issuer": "y", "method_name": "mfa-one"})
    ask("POST", f"{METHOD}/{method}", {"issuer": "z"})
    ask("GET", f"{METHOD}/{method}")
    ask("GET", f"identity/mfa/method/{method}")
    return method


def _enforcements(story: Story, method: str, accessor: str) -> None:
    """Those that are refused, and one of the mount."""
    ask = story.ask
    for wanted in (
        {},
        {"mfa_method_ids": [method]},
        {"mfa_method_ids": ["x"], "auth_method_types": ["userpass"]},
        {"mfa_method_ids": [method], "auth_method_accessors": ["nope"]},
        {"mfa_method_ids": [method], "auth_method_types": ["nope"]},
        {"mfa_method_ids": [method], "identity_entity_ids": ["nope"]},
        {"mfa_method_ids": [method], "identity_group_ids": ["nope"]},
    ):
        ask("POST", f"{ENFORCEMENT}/mfa-e", wanted)
    ask("GET", f"{ENFORCEMENT}/mfa-e")
    ask("LIST", ENFORCEMENT)
    wanted = {"mfa_method_ids": [method], "auth_method_accessors": [accessor]}
    ask("POST", f"{ENFORCEMENT}/mfa-e", wanted)
    ask("GET", f"{ENFORCEMENT}/mfa-e")
    ask("LIST", ENFORCEMENT)


def _factors(story: Story, method: str, entity: str) -> App:
    """A secret for the entity, once."""
    ask, generate = story.ask, f"{METHOD}/admin-generate"
    ask("POST", generate, {"method_id": method, "entity_id": "nope"})
    ask("POST", generate, {"method_id": "x", "entity_id": entity})
    ask("POST", generate, {"method_id": method})
    ask("POST", generate, {"entity_id": entity})
    app = App(ask("POST", generate, {"method_id": method, "entity_id": entity})["data"]["url"])
    assert {name: app.fields[name] for name in ("algorithm", "digits", "issuer", "period")} == {
        "algorithm": "SHA1", "digits": "6", "issuer": "z", "period": "30",
    }  # fmt: skip
    ask("POST", generate, {"method_id": method, "entity_id": entity})
    return app


def _second_phase(story: Story, method: str, waiting: str, app: App) -> None:
    """What finishes a login, and what does not; a code that comes with a login."""
    ask = story.ask
    ask("POST", VALIDATE, {})
    ask("POST", VALIDATE, {"mfa_request_id": "x"})
    ask("POST", VALIDATE, {"mfa_request_id": waiting, "mfa_payload": {method: "1"}})
    wrong = story.name(app.wrong_code(), "WRONG")
    ask("POST", VALIDATE, {"mfa_request_id": waiting, "mfa_payload": {method: [wrong]}})
    right = story.name(app.code(), "RIGHT")
    payload = {"mfa_request_id": waiting, "mfa_payload": {method: [right]}}
    token = ask("POST", VALIDATE, payload)["auth"]["client_token"]
    ask("POST", VALIDATE, payload)
    found = acl_decisions.ask(story.server, "GET", "/v1/auth/token/lookup-self", token=token)
    assert found.status_code == 200
    ask("POST", LOGIN, RIGHT, x_vault_mfa=f"{method}:{right}")
    at_once = story.name(app.next_code(), "NEXT")
    ask("POST", LOGIN, RIGHT, x_vault_mfa=f"mfa-one:{at_once}")


def _ends(story: Story, method: str, entity: str) -> None:
    """Factors are taken away, one's own is made, and the rules go."""
    ask, destroy = story.ask, f"{METHOD}/admin-destroy"
    ask("POST", f"{METHOD}/generate", {"method_id": method})
    ask("POST", destroy, {"method_id": method, "entity_id": entity})
    ask("POST", destroy, {"method_id": method, "entity_id": entity})
    ask("POST", destroy, {"method_id": method, "entity_id": "nope"})
    ask("POST", destroy, {})
    ask("DELETE", f"{ENFORCEMENT}/mfa-none")
    ask("DELETE", f"{ENFORCEMENT}/mfa-e")
    ask("GET", f"{ENFORCEMENT}/mfa-e")
    ask("POST", LOGIN, RIGHT)
    policy = f'path "{METHOD}/generate" {{ capabilities = ["update"] }}'
    ask("POST", "sys/policies/acl/mfa-own", {"policy": policy})
    ask("POST", f"{PEOPLE}/users/eve", {"token_policies": "mfa-own"})
    token = ask("POST", LOGIN, RIGHT)["auth"]["client_token"]
    ask("POST", f"{METHOD}/generate", {"method_id": method}, token=token)
    ask("POST", f"{METHOD}/generate", {"method_id": method}, token=token)
    ask("POST", f"{METHOD}/generate", {}, token=token)
    ask("DELETE", f"{METHOD}/{method}")
    ask("DELETE", "sys/auth/mfa-people")


def _entity(server: Server, accessor: str) -> str:
    wanted = {"alias_name": "eve", "alias_mount_accessor": accessor}
    found = acl_decisions.ask(server, "POST", "/v1/identity/lookup/entity", wanted)
    return str(found.json()["data"]["id"])


def test_openbao_and_freehold_answer_the_same(
    both: Both, once: Callable[[str, Callable[[], T]], T]
) -> None:
    """Statuses, fields and the words of errors."""
    openbao, freehold = both
    expected = once("mfa", lambda: tell(openbao))
    for here, there in zip(tell(freehold), expected, strict=True):
        assert here == there


def test_bao_login_asks_for_the_code(both: Both, tmp_path: Path) -> None:
    """As a person at a terminal has it: password first, then the code, then a token."""
    _, freehold = both
    ask = Story(freehold).ask
    ask("POST", "sys/auth/mfa-bao", {"type": "userpass"})
    ask("POST", "auth/mfa-bao/users/eve", RIGHT)
    mounts = acl_decisions.ask(freehold, "GET", "/v1/sys/auth").json()
    accessor = mounts["mfa-bao/"]["accessor"]
    method = ask("POST", METHOD, {"issuer": "x"})["data"]["method_id"]
    wanted = {"mfa_method_ids": [method], "auth_method_accessors": [accessor]}
    ask("POST", f"{ENFORCEMENT}/mfa-bao", wanted)
    ask("POST", "auth/mfa-bao/login/eve", RIGHT)
    entity = _entity(freehold, accessor)
    made = ask("POST", f"{METHOD}/admin-generate", {"method_id": method, "entity_id": entity})
    words = ("login", "-method=userpass", "-path=mfa-bao", "username=eve", "password=right")
    told = _at_terminal(freehold, tmp_path, words, App(made["data"]["url"]).code())
    assert "Success! You are now authenticated" in told
    token = (tmp_path / ".vault-token").read_text()
    assert ask("GET", "auth/token/lookup-self", token=token)["data"]["entity_id"] == entity


def _at_terminal(server: Server, home: Path, words: tuple[str, ...], code: str) -> str:
    """What `bao` prints at a terminal; the code is typed when it is asked for."""
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "BAO_ADDR": server.address}
    told = b""
    with subprocess.Popen(
        [BAO, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as running:
        os.close(theirs)
        try:
            while b"passphrase" not in told:
                told += _read(ours, told)
            os.write(ours, f"{code}\n".encode())
            while running.poll() is None or select.select([ours], [], [], 0)[0]:
                if not (more := _read(ours, told)):
                    break
                told += more
        finally:
            running.kill()
            os.close(ours)
    return told.decode()


def _read(terminal: int, before: bytes) -> bytes:
    """What comes next; nothing once the other side is gone."""
    if not select.select([terminal], [], [], PATIENCE)[0]:
        raise AssertionError(before)
    try:
        return os.read(terminal, 4096)
    except OSError:  # EIO: nobody has the other end any more
        return b""
