"""What is used, on the wire."""

from typing import Any

import pytest

from protocols.link import codec
from protocols.link import messages as m


def test_a_usage_names_each_thing_once():
    """Two counts of one secret would leave open which counts."""
    none = (0,) * 7
    seen = m.Secrets(at=1, total=1, never_read=0, expired=0, idle=none, age=none, expires=none)
    one = m.SecretUse(secret=b"s" * 16, reads=1, last_read=1, rotated_at=1, expires_at=0)
    base: dict[str, Any] = {"since": 0, "until": 1, "operations": (), "secrets": seen}
    assert codec.encode_payload(m.Usage(**base, named=(one,), identities=()))
    with pytest.raises(ValueError, match="twice"):
        m.Usage(**base, named=(one, one), identities=())
