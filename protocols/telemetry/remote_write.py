"""Prometheus remote write 1.0: a `WriteRequest` in protobuf, compressed with snappy. Pure.

The four messages are described here field by field (prometheus/prompb, types.proto and
remote.proto); the official protobuf runtime encodes them.
"""

from typing import Any, Final

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from protocols.telemetry.metric_families import MetricFamilies

HEADERS: Final = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_PACKAGE: Final = "freehold.prompb"
_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_SHAPES: Final = {
    "Label": (("name", _FIELD.TYPE_STRING, ""), ("value", _FIELD.TYPE_STRING, "")),
    "Sample": (("value", _FIELD.TYPE_DOUBLE, ""), ("timestamp", _FIELD.TYPE_INT64, "")),
    "TimeSeries": (
        ("labels", _FIELD.TYPE_MESSAGE, "Label"),
        ("samples", _FIELD.TYPE_MESSAGE, "Sample"),
    ),
    "WriteRequest": (("timeseries", _FIELD.TYPE_MESSAGE, "TimeSeries"),),
}


def _made() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="freehold/prompb.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _SHAPES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind, of) in enumerate(fields, 1):
            label = _FIELD.LABEL_REPEATED if of else _FIELD.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, type=kind, label=label)
            if of:
                added.type_name = f".{_PACKAGE}.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.WriteRequest"))


WriteRequest: Final = _made()


def write_request(families: MetricFamilies, labels: dict[str, str], at: int) -> bytes:
    """The body of one request: every sample as of `at` (Unix milliseconds).

    `labels` tell this process from others; a sample's own come before them.
    """
    request = WriteRequest()
    for family in families:
        for sample in family.samples:
            series = request.timeseries.add()
            named = {**labels, **sample.labels, "__name__": sample.name}
            for name in sorted(named):
                series.labels.add(name=name, value=named[name])
            series.samples.add(value=sample.value, timestamp=at)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
