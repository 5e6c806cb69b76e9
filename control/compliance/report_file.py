"""The file format of reports: parts, a manifest of their digests, one signature.

A JSON object with `format`, `header`, `evidence` (id → part), `controls` (framework/id → part),
`manifest`, `digest`, `signature` and `key`. The manifest is a JSON object of the SHA-256 of each
part's bytes exactly as they stand in the file; `digest` is that of the manifest's bytes, and signed
(Ed25519, the witness key) are `freehold-report-v1 ‖ 00 ‖ manifest`. So verification names any part
that was changed, removed or added. The digest is in the audit log, too.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from control.compliance.proofs import find_faults
from control.crypto import constant_time_equal_bytes, is_valid_signature, sha256
from control.model.compliance import Evidence, Header, Judged
from protocols import json_text

FORMAT: Final = "freehold-report-v1"
DOMAIN: Final = FORMAT.encode() + b"\0"
MAX_BYTES: Final = 32 * 1024 * 1024
_encode: Final = msgspec.json.Encoder(order="sorted").encode

SignFunction = Callable[[bytes], bytes]


class Manifest(Struct, frozen=True):
    """SHA-256 in hexadecimal of every part."""

    header: str
    evidence: dict[str, str]
    controls: dict[str, str]


class File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The object, its parts still as bytes."""

    format: str
    header: Raw
    evidence: dict[str, Raw]
    controls: dict[str, Raw]
    manifest: Raw
    digest: str
    signature: str
    key: str


class Report(Struct, frozen=True, kw_only=True):
    """What it says."""

    header: Header
    evidence: dict[str, Evidence]
    controls: list[Judged]


class ReportVerification(Struct, frozen=True, kw_only=True):
    """`faults`: where something is not as it was signed; none for a report that is whole."""

    digest: str
    faults: tuple[str, ...]


def sign_report(report: Report, sign: SignFunction, public: bytes) -> tuple[bytes, str]:
    """The file, and its digest in hexadecimal."""
    header = Raw(_encode(report.header))
    evidence = {name: Raw(_encode(item)) for name, item in sorted(report.evidence.items())}
    controls = {item.key: Raw(_encode(item)) for item in report.controls}
    manifest = Raw(_encode(Manifest(_hex(header), _digests(evidence), _digests(controls))))
    digest = _hex(manifest)
    file = File(
        format=FORMAT,
        header=header,
        evidence=evidence,
        controls=controls,
        manifest=manifest,
        digest=digest,
        signature=sign(DOMAIN + bytes(manifest)).hex(),
        key=public.hex(),
    )
    return msgspec.json.encode(file), digest


def parse_report_file(data: bytes) -> Report:
    """The report, whether it verifies or not. Raises `msgspec.DecodeError`."""
    file = json_text.decode(data, type=File)
    return Report(
        header=json_text.decode(file.header, type=Header),
        evidence={k: json_text.decode(v, type=Evidence) for k, v in file.evidence.items()},
        controls=[json_text.decode(part, type=Judged) for part in file.controls.values()],
    )


def verify_report_file(data: bytes, public: bytes) -> ReportVerification:
    """Verify the signature with this key (32 bytes), and each proof."""
    try:
        file = json_text.decode(data, type=File)
        manifest = json_text.decode(file.manifest, type=Manifest)
        signature = bytes.fromhex(file.signature)
    except (msgspec.DecodeError, ValueError):
        return ReportVerification(
            digest="", faults=("this is no report, or its outline was edited",)
        )
    found = [*_has_valid_signature(file, signature, public), *_parts(file, manifest)]
    if not found:  # else whatever does not decode or fit has been named already
        found += find_faults(
            parse_report_file(data).header, parse_report_file(data).evidence, public
        )
    return ReportVerification(digest=_hex(file.manifest), faults=tuple(found))


def _has_valid_signature(file: File, signature: bytes, public: bytes) -> Iterable[str]:
    if file.format != FORMAT:
        yield "format: this is another one"
    if not is_valid_signature(public, DOMAIN + bytes(file.manifest), signature):
        yield "manifest: this key has not signed it"
    if file.digest != _hex(file.manifest):  # not secret: of a public file
        yield "digest: it is not that of the manifest"
    if file.key != public.hex():
        yield "key: the file names another one"


def _parts(file: File, manifest: Manifest) -> Iterable[str]:
    if _hex(file.header) != manifest.header:
        yield "header: it was edited"
    yield from _differing_parts("evidence", file.evidence, manifest.evidence)
    yield from _differing_parts("control", file.controls, manifest.controls)


def _differing_parts(
    what: str, parts: Mapping[str, Raw], wanted: Mapping[str, str]
) -> Iterable[str]:
    for name in sorted(wanted.keys() | parts.keys()):
        if name not in parts:
            yield f"{what} {name}: it was taken out"
        elif name not in wanted:
            yield f"{what} {name}: it was put in"
        elif not constant_time_equal_bytes(_hex(parts[name]).encode(), wanted[name].encode()):
            yield f"{what} {name}: it was edited"


def _digests(parts: Mapping[str, Raw]) -> dict[str, str]:
    return {name: _hex(part) for name, part in parts.items()}


def _hex(part: Raw) -> str:
    return sha256(bytes(part)).hex()
