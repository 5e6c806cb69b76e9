"""A browser without a screen: it keeps cookies of one host, and goes where it is sent.

    python lone.py URL ACCOUNT [ANSWER]

At our page it presses `ANSWER` (`yes` where none is given), at the provider it is `ACCOUNT`.
"""

import re
import sys
from html import unescape
from urllib.parse import urlsplit

import httpx2

MOST = 12  # places


def walk(http: httpx2.Client, at: str, account: str, answer: str = "yes", until: str = "") -> str:
    """Go on as far as there is a way, or an address that begins with `until`: where it ends."""
    for _ in range(MOST):
        if until and at.startswith(until):
            return at
        reply = http.get(at)
        if "/oidc/program" in at and reply.status_code == httpx2.codes.OK:
            reply = press(http, reply, answer)
        onward = reply.headers.get("location", "") or refreshed(reply)
        if not onward:
            return at
        at = str(reply.url.join(onward))
        if "/auth?" in at:
            at += f"&login_hint={account}"
    raise AssertionError(at)


def press(http: httpx2.Client, shown: httpx2.Response, answer: str) -> httpx2.Response:
    """Send the form that says so, as a browser does."""
    [action] = re.findall(f'action="([^"]*answer={answer}[^"]*)"', shown.text)
    place = urlsplit(str(shown.url))
    headers = {"Origin": f"{place.scheme}://{place.netloc}", "Sec-Fetch-Site": "same-origin"}
    return http.post(str(shown.url.join(unescape(action))), headers=headers)


def refreshed(shown: httpx2.Response) -> str:
    """Where a page goes on to by itself."""
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]*)"', shown.text)
    return unescape(found.group(1)) if found else ""


if __name__ == "__main__":
    with httpx2.Client() as client:
        walk(client, *sys.argv[1:])
