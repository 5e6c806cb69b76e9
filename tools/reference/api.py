"""docs/reference/api.md: every endpoint of both native APIs, from the declarations behind OpenAPI."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from control.api.rest_app import RESOURCES as CONTROL
from protocols.errors import ErrorType
from tools.reference.markdown import code, matched, meanings, page, table
from vault.edge.native.dialect import RESOURCES as AGENT

TITLE: Final = "API"
INTRO: Final = """
Agent and control plane have a REST API under `/api/v1`. Each describes itself, with all fields and their bounds, in
OpenAPI 3.1 at `/api/v1/openapi.json`; this page is the overview. Vault's API under `/v1` is in
[Vault's API](vault-api.md), the rules that both follow in [the specification](../spec/api.md).

- **Credential**: `Authorization: Bearer TOKEN`. The agent reads `X-Vault-Token` too.
- **Bodies** are JSON. An unknown field is refused.
- **Lists** come in pages: give `cursor` (agent) or `after` (control plane) of one page back to get the next.
- **Every response** has `X-Request-Id`, which is in the audit log.
- **Errors** are `{"type", "code", "message", "request_id", "timestamp", "details"}`. `code` is stable; all codes are in
  [Errors](errors.md).

| error type | meaning |
|---|---|
"""
AGENT_INTRO: Final = (
    "Paths are below `/api/v1/`. `{path}` and `{name}` of a secret may contain slashes."
)
CONTROL_INTRO: Final = """\
Paths are below `/api/v1/`. A path with `{org}` is 404 for everybody outside that organization.

- **who**: the least role in the organization (`viewer` < `operator` < `admin` < `owner`), `signed in`, `everybody`, or
  `platform` for the owners of the organization `platform`.
- **proof**: the caller must have entered a password or code within the last ten minutes, else 403 `step_up`.
- **API token**: whether an API token may call it, else 403 `person_needed`."""


def render() -> str:
    """The page."""
    told = meanings("api")["types"]
    matched(map(str, ErrorType), told, "api.toml")
    types = "\n".join(f"| `{each}` | {told[each]} |" for each in ErrorType)
    parts = ["## Agent", AGENT_INTRO, *_resources(AGENT, _agent_row, ("", "path", ""), "")]
    head = ("", "path", "", "who", "proof", "API token")
    parts += ["## Control plane", CONTROL_INTRO]
    parts += _resources(CONTROL, _control_row, head, " (control plane)")
    return page(TITLE, f"{INTRO.strip()}\n{types}", parts)


def _resources(
    resources: Iterable[Any], row: Any, head: Sequence[str], suffix: str
) -> Iterator[str]:
    for resource in resources:
        yield f"### `{resource.tag}`{suffix}"
        yield resource.about
        yield table(head, map(row, resource.all))


def _agent_row(endpoint: Any) -> tuple[str, ...]:
    summary = f"{endpoint.summary} (no credential)" if endpoint.public else endpoint.summary
    return endpoint.method, code(endpoint.template), summary


def _control_row(endpoint: Any) -> tuple[str, ...]:
    proof = "yes" if endpoint.requires_recent_auth else ""
    programs = "" if endpoint.public else "yes" if endpoint.allows_api_tokens else "no"
    what = (endpoint.method, code(endpoint.template), endpoint.summary)
    return *what, _caller(endpoint), proof, programs


def _caller(endpoint: Any) -> str:
    if endpoint.public:
        return "everybody"
    if endpoint.any_authenticated:
        return "signed in"
    return str(endpoint.role.name.lower()) if "{org}" in endpoint.template else "platform"
