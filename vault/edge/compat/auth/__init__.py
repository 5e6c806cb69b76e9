"""What OpenBao's auth methods have in its API beside entries, actions and login."""

from collections.abc import Mapping
from typing import Final

from vault.edge.compat.auth import approle, json_web_token, saml, token, userpass
from vault.edge.router import Router

EXTRA: Final[Mapping[str, Router]] = {
    "approle": approle.routes,
    "token": token.routes,
    "userpass": userpass.routes,
    "jwt": json_web_token.routes,
    "oidc": json_web_token.routes,
    "saml": saml.routes,
}
"""By the type of the mount. Their functions get the mount before what braces matched."""
