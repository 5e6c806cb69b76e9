"""HTML pages of the API itself, for a browser without the dashboard: text, links, buttons.

No script runs in them, nothing is loaded, nothing may frame them, and forms post to our origin
alone. The next address is a link and a `refresh` in the page and not a redirect: a browser checks
redirects after a form against `form-action` (CSP 3, 4.2.4), and the addresses of providers are not
known here.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Final

from control.crypto import sha256

STYLE: Final = (
    ":root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}"
    "main{max-width:36rem;margin:3rem auto;padding:0 1rem}"
    "form{display:inline}button{font:inherit;padding:.5rem 1rem;margin-right:.5rem}"
    "code{font-size:1.25rem;white-space:nowrap}"
)
_HASH: Final = b64encode(sha256(STYLE.encode())).decode()
HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    # With `no-referrer` a browser would send a form without its origin.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} - Freehold</title>{onward}
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>{style}</style></head>
<body><main><h1>{title}</h1>
{body}
</main></body></html>
"""


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """A whole HTML document."""

    markup: str


def paragraph(words: str, **values: str) -> str:
    """A paragraph; `values` are escaped and placed in `words`."""
    return f"<p>{words.format_map({name: escape(value) for name, value in values.items()})}</p>"


def button_forms(actions: Mapping[str, str]) -> str:
    """A form with one button for each: label → the path that it posts to, on our own origin."""
    return "".join(
        f'<form method="post" action="{escape(action)}"><button>{escape(words)}</button></form>'
        for words, action in actions.items()
    )


def html_page(title: str, *parts: str) -> HtmlPage:
    """A page of these parts, which are markup."""
    return HtmlPage(
        _PAGE.format(title=escape(title), onward="", style=STYLE, body="\n".join(parts))
    )


def redirect_page(title: str, url: str, *parts: str) -> HtmlPage:
    """A page that goes on to `url` by itself, or by its link."""
    link = f'<p><a href="{escape(url)}">Go on</a></p>'
    onward = f'<meta http-equiv="refresh" content="0;url={escape(url)}">'
    body = "\n".join((*parts, link))
    return HtmlPage(_PAGE.format(title=escape(title), onward=onward, style=STYLE, body=body))
