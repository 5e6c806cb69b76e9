"""The batch read of the native API, as the benchmark asks for it.

OpenBao has none: beside a batch of N stand N single reads.
"""

from http import HTTPStatus

from loadtests.api import VaultApi

PATH = "/api/v1/batch/read"
BODY = '{"names":[%s]}'


def environment() -> dict[str, str]:
    """What load.lua makes its batches from."""
    return {"BENCH_BATCH": BODY, "BENCH_BATCH_PATH": PATH}


def is_served(api: VaultApi) -> bool:
    """Whether this server knows batches."""
    answered = {HTTPStatus.OK, HTTPStatus.MULTI_STATUS}  # the latter: there is no such secret
    return api.status("POST", PATH, {"names": ["secret/first"]}) in answered
