"""Figures as Prometheus' client has them, without the client: what encoders need to see of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol


class MetricSample(Protocol):
    """One value."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def value(self) -> float: ...


class MetricFamily(Protocol):
    """A metric with its samples; `type` is counter, gauge, histogram or another."""

    @property
    def name(self) -> str: ...
    @property
    def documentation(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def samples(self) -> Sequence[MetricSample]: ...


MetricFamilies = Iterable[MetricFamily]
