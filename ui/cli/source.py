"""Where a secret's value comes from: stdin or a file. The command line only if asked for."""

import json
import sys
from pathlib import Path
from typing import Any, Final

from ui.cli.errors import CliError

MAX_INPUT: Final = 1 << 20  # bytes; the server's bound for a value


def read_value(file: Path | None, literal: str | None, *, as_json: bool) -> Any:
    """The value: of `--file`, of `--value` (visible to other users), else of stdin.

    One closing newline is taken off text. Raises `CliError` when it is no JSON but should be.
    """
    if literal is not None:
        text = literal
    else:
        raw = file.read_bytes() if file else sys.stdin.buffer.read(MAX_INPUT + 1)
        if len(raw) > MAX_INPUT:
            raise CliError(f"the value is over {MAX_INPUT} bytes")
        try:
            text = raw.decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise CliError(
                "the value is not UTF-8; encode binary data, for example as base64"
            ) from None
    if not as_json:
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise CliError("--json was given and the value is not JSON") from None
