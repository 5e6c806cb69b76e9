"""Writes `ui/web/src/lib/limits.ts`: how many rows the APIs give at most in one answer.

    python -m tools.web_limits

The pages take their page sizes from it; `tests/architecture/test_web_limits.py` compares it.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from control.api.openapi import encode_document
from control.api.rest_app import RESOURCES as CONTROL
from vault.edge.native.dialect import RESOURCES as AGENT
from vault.edge.native.openapi import openapi_document

TARGET: Final = Path(__file__).parents[1] / "ui/web/src/lib/limits.ts"
_HEAD: Final = """\
/**
 * How many rows an answer may have at most (the query's `limit`), by path. Generated from the APIs'
 * descriptions by tools/web_limits.py: not to be edited.
 */
"""


def render() -> str:
    """The file as it should be."""
    control = msgspec.json.decode(encode_document(CONTROL))
    parts = (_object("CONTROL_LIMITS", control), _object("AGENT_LIMITS", openapi_document(AGENT)))
    return _HEAD + "\n".join(parts)


def _object(name: str, api: Mapping[str, Any]) -> str:
    found = {
        path.removeprefix("/api/v1/").removeprefix("/").replace("organizations/{org}/", ""): most
        for path, methods in api["paths"].items()
        if (most := _most(methods.get("get", {}))) is not None
    }
    lines = [f"  {_key(path)}: {found[path]},\n" for path in sorted(found)]
    return f"export const {name} = {{\n{''.join(lines)}}} as const;\n"


def _key(path: str) -> str:
    return path if path.isidentifier() else f'"{path}"'


def _most(operation: Mapping[str, Any]) -> int | None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == "limit":
            return int(parameter["schema"]["maximum"])
    return None


if __name__ == "__main__":
    sys.exit(TARGET.write_text(render()) and 0)
