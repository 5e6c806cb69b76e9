"""Random calls of Vault's API are answered as OpenBao answers them, but for a reviewed list.

`make differential` compares for longer.
"""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.acceptance.agent import Form
from tests.acceptance.compat.differential.calls import Call
from tests.acceptance.compat.differential.compare import Accepted, Difference, accepted
from tests.acceptance.compat.differential.found import FOUND
from tests.acceptance.compat.differential.generate import DOMAINS, random_round
from tests.acceptance.compat.differential.run import Fuzzer
from tests.acceptance.compat.servers import freehold_dev, openbao_dev

LENGTH: Final = 40
SEEDS: Final = (1,)


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzer]:
    """Both servers."""
    form = Form(1)
    with (
        openbao_dev(tmp_path_factory.mktemp("openbao"), form) as openbao,
        freehold_dev(tmp_path_factory.mktemp("freehold"), form) as freehold,
    ):
        yield Fuzzer(openbao, freehold)


@pytest.mark.parametrize("wrong", FOUND)
def test_what_was_found_is_mended(fuzzer: Fuzzer, wrong: str) -> None:
    """To the last call: a round that ends before says nothing."""
    outcome = fuzzer.play(FOUND[wrong])
    assert [each.describe() for each in outcome.differences] == []
    assert outcome.compared == len(FOUND[wrong])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_random_calls_are_answered_alike(fuzzer: Fuzzer, domain: str, seed: int) -> None:
    """The same calls in each run of the tests."""
    calls = random_round(seed, LENGTH, (domain,))
    assert calls == random_round(seed, LENGTH, (domain,))
    assert [each.describe() for each in fuzzer.play(calls).differences] == []


def test_a_difference_is_seen_and_shortened(fuzzer: Fuzzer) -> None:
    """Down to the call that differs: an invented header of a wrapping TTL that is too long."""
    calls = random_round(1, LENGTH, ("kv1",))
    calls.append(Call("GET", "auth/token/lookup-self", headers={"X-Vault-Wrap-TTL": "9999h"}))
    without = Fuzzer(*fuzzer.servers, accept=[])
    found = [each for each in without.play(calls).differences if each.field == "status"]
    assert without.shortened(calls, found[-1]) == calls[-1:]


def test_accepted_differences_are_recognized() -> None:
    """Each entry has a reason, and none accepts all."""
    call = Call("GET", "{r}kv2/data/a")
    anything = Difference(call, "body.data.data.a", 1, 2)
    status = Difference(call, "status", {"status": 200}, {"status": 500})
    for each in accepted():
        assert each.reason
        assert not each.covers(anything), each.reason
        assert not each.covers(status), each.reason
    assert Accepted(reason="x").covers(anything)
