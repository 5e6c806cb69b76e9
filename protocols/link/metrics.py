"""What an agent measures: its figures over a window, and how it does at this moment."""

from typing import Annotated

from msgspec import Meta

from protocols.link import vocabulary as words
from protocols.link.fields import Millis, Number
from protocols.link.limits import MAX_NODES
from protocols.link.message import Message


class CounterValue(Message, frozen=True, kw_only=True):
    """A total."""

    name: words.CounterName
    value: Number


class GaugeValue(Message, frozen=True, kw_only=True):
    """A state."""

    name: words.GaugeName
    value: Number


class HistogramValue(Message, frozen=True, kw_only=True):
    """Times: how many in each of `BUCKETS_US` (not cumulative) and above, and their sum."""

    name: words.HistogramName
    counts: Annotated[
        tuple[Number, ...],
        Meta(min_length=len(words.BUCKETS_US) + 1, max_length=len(words.BUCKETS_US) + 1),
    ]
    sum_us: Number


class Metrics(Message, frozen=True, kw_only=True):
    """The agent's figures over a window. Each name comes at most once."""

    since: Millis
    until: Millis
    counters: Annotated[tuple[CounterValue, ...], Meta(max_length=len(words.CounterName))]
    gauges: Annotated[tuple[GaugeValue, ...], Meta(max_length=len(words.GaugeName))]
    histograms: Annotated[tuple[HistogramValue, ...], Meta(max_length=len(words.HistogramName))]

    def __post_init__(self) -> None:
        """Refuse a `name` that comes twice among counters, gauges or histograms (`ValueError`)."""
        for values in (self.counters, self.gauges, self.histograms):
            if len({value.name for value in values}) != len(values):
                raise ValueError("a metric comes twice")


class ActorNode(Message, frozen=True, kw_only=True):
    """One actor or supervisor, where a walk of the tree meets it. Counts are since the start."""

    name: words.ActorName
    level: Number
    """How far below the root, which is at 0: what comes next and deeper is below it."""
    state: words.ActorState
    restarts: Number
    handled: Number
    mean_us: Number
    max_us: Number
    queued: Number
    """In its mailbox; 0 for what has none, as are the following."""
    bound: Number
    refused: Number
    dropped: Number


class Glimpse(Message, frozen=True, kw_only=True):
    """How the agent does at this moment: sent while the control plane observes, never kept."""

    at: Millis
    counters: Annotated[tuple[CounterValue, ...], Meta(max_length=len(words.CounterName))]
    gauges: Annotated[tuple[GaugeValue, ...], Meta(max_length=len(words.GaugeName))]
    histograms: Annotated[tuple[HistogramValue, ...], Meta(max_length=len(words.HistogramName))]
    nodes: Annotated[tuple[ActorNode, ...], Meta(max_length=MAX_NODES)]
