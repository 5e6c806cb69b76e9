"""A browser, as far as the control plane can tell: cookies, and where its pages are from."""

from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from tests.acceptance.agent import Answer
from tests.acceptance.control.plane import API, PASSWORD, Plane


@dataclass
class Browser:
    """Signed in once `login` was called."""

    plane: Plane
    jar: dict[str, str] = field(default_factory=dict)
    session_key: str = ""

    @property
    def own(self) -> dict[str, str]:
        """Where a page of the control plane's is from."""
        return {"Origin": self.plane.address, "Sec-Fetch-Site": "same-origin"}

    @property
    def page(self) -> dict[str, str]:
        """What a page of the control plane's sends."""
        key = {"X-Session-Key": self.session_key} if self.session_key else {}
        return {**self.own, **key}

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request as a page of ours makes it, or with other headers."""
        told = self.page if headers is None else headers
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        with self.plane.client("") as client:
            answer = client.call(
                method,
                path if path.startswith("/") else API + path,
                body,
                headers={"Content-Type": "application/json", "Cookie": cookies, **told},
            )
        for line in answer.headers.get("set-cookie", "").splitlines():
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.jar.pop(name, None)
                else:
                    self.jar[name] = morsel.value
        return answer

    def login(self, org: str, name: str, password: str = PASSWORD) -> Any:
        """Sign in; what the control plane told."""
        body = {"organization": org, "name": name, "password": password}
        answer = self.ask("POST", "sessions", body, {**self.page, "X-Freehold-Session": "cookie"})
        assert answer.status == 200, answer.body
        self.session_key = answer.json["session_key"]
        return answer.json

    def collect(self, code: str, verifier: str) -> Answer:
        """What a page asks for when a provider has sent the browser back."""
        told = {**self.page, "X-Freehold-Session": "cookie"}
        answer = self.ask("POST", "oidc/session", {"code": code, "verifier": verifier}, told)
        if answer.status == 200:
            self.session_key = answer.json["session_key"]
        return answer
