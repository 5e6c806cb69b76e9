"""Figures on the wire."""

import msgspec
import pytest

from protocols.link import codec
from protocols.link import messages as m
from tests.unit.protocols.link.duet import metrics


def test_a_metric_comes_once():
    """Two values of one name would leave open which counts."""
    twice = metrics()
    with pytest.raises(ValueError, match="twice"):
        msgspec.structs.replace(twice, counters=twice.counters * 2)
    bad = msgspec.to_builtins(twice, builtin_types=(bytes,))
    bad["gauges"] = bad["gauges"] * 2
    with pytest.raises(Exception, match="malformed"):
        codec.decode_struct(msgspec.msgpack.encode(bad, order="sorted"), m.Metrics)
