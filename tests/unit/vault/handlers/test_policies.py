"""Tests of policies as things that operations act on."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.vault.handlers.conftest import ROOT, House
from vault.authz.access import Decision
from vault.errors import ConflictError, NotFoundError, ValidationError
from vault.model.identity import Identity, Method
from vault.model.operation import Capability
from vault.model.payloads import CreateUser, DryRunAccess, WritePolicy

READ = {"effect": "allow", "paths": ["s/*"], "capabilities": ["read", "list"]}
AT = "sys/policies/app"


async def dry(house: House, by: Identity = ROOT, **asked: Any) -> Decision:
    """Would it be allowed."""
    wanted = {"capability": "read", "path": "s/a"} | asked
    decision: Decision = await house.do(
        "policy.dry_run", "sys/policies-dry-run", DryRunAccess(**wanted), by=by
    )
    return decision


async def test_write_read_list_delete(house: House) -> None:
    """A policy is there under the name of its path until it is deleted."""
    row = await house.do("policy.write", AT, WritePolicy(document={"rules": [READ]}))
    assert (row.name, row.version, row.created_by) == ("app", 1, "root")
    assert (await house.do("policy.read", AT)).rules[0].paths == ("s/*",)
    assert (await house.do("policy.list", "sys/policies/")).policies == [
        "app", "default", "root", "service-rotation",
    ]  # fmt: skip
    assert (await house.do("policy.write", AT, WritePolicy(document={}))).version == 2
    await house.do("policy.delete", AT)
    with pytest.raises(NotFoundError):
        await house.do("policy.read", AT)


@pytest.mark.parametrize("name", ["other", 7, {}, "app "])
async def test_a_document_keeps_the_name_of_its_path(house: House, name: object) -> None:
    """What was authorized is what is written: a name inside cannot lead elsewhere."""
    with pytest.raises(ValidationError) as caught:
        await house.do("policy.write", AT, WritePolicy(document={"name": name}))
    assert caught.value.details["field"] == "name"
    await house.do("policy.write", AT, WritePolicy(document={"name": "APP"}))
    await house.do("policy.write", AT, WritePolicy(document={"name": None}))


@pytest.mark.parametrize("verb", ["read", "write", "delete"])
async def test_a_second_spelling_is_refused(house: House, verb: str) -> None:
    """`sys/policies/APP` is not another way to `app`."""
    with pytest.raises(ValidationError):
        await house.do(f"policy.{verb}", "sys/policies/APP", WritePolicy(document={}))


async def test_errors_point_at_the_field(house: House) -> None:
    """As validation reports them."""
    bad = {"rules": [{**READ, "paths": ["/s"]}]}
    with pytest.raises(ValidationError) as caught:
        await house.do("policy.write", AT, WritePolicy(document=bad))
    assert caught.value.details["field"] == "rules[0].paths[0]"


async def test_a_document_is_looked_at_and_changes_nothing(house: House) -> None:
    """All faults that writing it would find, also in its name; a good one comes back whole."""
    nobody = Identity(id="n", name="n", method=Method.TOKEN)
    assert house.handlers["policy.validate"].capability is Capability.UPDATE
    bad = {"rules": [{**READ, "paths": ["/s"], "capabilities": ["reed"]}]}
    with pytest.raises(ValidationError) as caught:
        await house.do("policy.validate", AT, WritePolicy(document=bad), by=nobody)
    found = [error["field"] for error in caught.value.details["errors"]]
    assert found == ["rules[0].paths[0]", "rules[0].capabilities[0]"]
    with pytest.raises(ValidationError):
        await house.do("policy.validate", AT, WritePolicy(document={"name": "other"}), by=nobody)
    good = await house.do("policy.validate", AT, WritePolicy(document={"rules": [READ]}), by=nobody)
    assert (good.name, good.rules[0].paths) == ("app", ("s/*",))
    assert "app" not in (await house.do("policy.list", "sys/policies/")).policies


async def test_create_only(house: House) -> None:
    """Where it is asked for, nothing is replaced."""
    await house.do("policy.write", AT, WritePolicy(document={}))
    with pytest.raises(ConflictError):
        await house.do("policy.write", AT, WritePolicy(document={}, create_only=True))


async def test_effective(house: House) -> None:
    """The caller's policies, and the names that mean nothing."""
    who = await house.allow("app", "s/*", capabilities=("read",))
    found = await house.do(
        "policy.effective", "sys/policies-effective", by=replace(who, policies=("app", "gone"))
    )
    assert [policy.name for policy in found.policies] == ["app"]
    assert (found.root, found.unknown) == (False, ("gone",))


async def test_dry_run_for_oneself(house: House) -> None:
    """It decides as a request would, and says what is missing."""
    who = await house.allow("app", "s/*", capabilities=("read",))
    assert await dry(house, by=who) == Decision(allowed=True, rule="app/rules[0]", reason="allowed")
    decision = await dry(house, by=who, capability="update")
    assert not decision.allowed
    assert decision.missing


async def test_any_caller_may_ask_for_himself(house: House) -> None:
    """As the request would be decided; nothing is supposed that he says."""
    who = await house.allow("app", "s/*", capabilities=("read",))
    networks = {"type": "source_network", "networks": ["192.0.2.0/24"]}
    rule = {"effect": "allow", "paths": ["s/*"], "capabilities": ["read"], "conditions": [networks]}
    await house.do("policy.write", "sys/policies/near", WritePolicy(document={"rules": [rule]}))
    near = replace(who, policies=("near", "gone"))

    async def own(by: Identity, **supposed: Any) -> Decision:
        asked = DryRunAccess(capability="read", path="s/a", **supposed)
        found: Decision = await house.do("policy.check", "sys/policies-dry-run", asked, by=by)
        return found

    assert (await own(who)).allowed
    refused = await own(near)
    assert (refused.allowed, refused.unknown) == (False, ("gone",))
    assert refused.missing
    for supposed in ({"ip": "192.0.2.1"}, {"policies": ("app",)}, {"user": "nobody"}):
        assert await own(near, **supposed) == refused


async def ask(house: House, by: Identity, path: str, capability: str = "read") -> Decision:
    """What any caller is told of himself."""
    asked = DryRunAccess(capability=capability, path=path)
    found: Decision = await house.do("policy.check", "sys/policies-dry-run", asked, by=by)
    return found


PCI = {"type": "tags", "any": ["pci"]}
FAR = {"type": "source_network", "networks": ["198.51.100.0/24"]}


@pytest.mark.parametrize("capability", ["read", "update", "delete", "read_metadata"])
@pytest.mark.parametrize(
    "rules",
    [
        [{"conditions": [PCI, FAR]}],
        [{"conditions": [{**PCI, "not": True}, FAR]}],
        [{"conditions": [{"type": "metadata", "key": "owner", "equals": "bob"}, FAR]}],
        [{}, {"effect": "deny", "conditions": [PCI]}],
        [{"conditions": [PCI], "capabilities": ["update", "delete"]}],
        [{"conditions": [FAR]}, {"effect": "deny", "conditions": [PCI]}],
    ],
)
async def test_a_check_tells_nothing_of_a_secret_that_the_caller_may_not_read(
    house: House, rules: list[dict[str, Any]], capability: str
) -> None:
    """One that is there and tagged is told of as one that is not there."""
    whole = {"effect": "allow", "paths": ["s/*"], "capabilities": ["read", "update"]}
    document = {"rules": [whole | rule for rule in rules]}
    await house.do("policy.write", AT, WritePolicy(document=document))
    await house.write("s/tagged", tags=["pci"], metadata={"owner": "bob"})
    who = Identity(id="w", name="w", method=Method.TOKEN, policies=("app",))
    tagged, absent = [await ask(house, who, path, capability) for path in ("s/tagged", "s/none")]
    assert tagged == absent


async def test_a_check_of_a_secret_that_the_caller_may_read_is_whole(house: House) -> None:
    """By its tags; and for who may do a dry run, of any."""
    who = await house.allow("app", "s/*", capabilities=("read", "delete"), conditions=[PCI])
    for path, tags in (("s/tagged", ["pci"]), ("s/plain", ["open"])):
        await house.write(path, tags=tags)
    assert (await ask(house, who, "s/tagged")).allowed
    assert (await ask(house, who, "s/tagged", "delete")).allowed
    refused = await ask(house, who, "s/plain")
    assert refused == await ask(house, who, "s/none")
    assert "depends on the secret" in refused.missing[0]
    await house.allow("tester", "sys/policies-dry-run", capabilities=("read",))
    refused = await ask(house, replace(who, policies=("app", "tester")), "s/plain")
    assert refused.missing == ("app/rules[0]: condition tags does not hold",)


async def test_a_check_of_a_denial_says_that_it_depends_on_the_secret(house: House) -> None:
    """And a list, which asks for no facts, is as it would be."""
    denial = {"effect": "deny", "paths": ["s/*"], "capabilities": ["read"], "conditions": [PCI]}
    await house.do("policy.write", AT, WritePolicy(document={"rules": [READ, denial]}))
    who = Identity(id="w", name="w", method=Method.TOKEN, policies=("app",))
    refused = await ask(house, who, "s/none")
    assert (refused.rule, "depends on the secret" in refused.missing[1]) == ("app/rules[1]", True)
    assert (await ask(house, who, "s/", "list")).allowed


async def test_a_dry_run_names_policies_that_do_not_exist(house: House) -> None:
    """They add nothing; a draft is there."""
    await house.allow("app", "s/*", capabilities=("read",))
    assert (await dry(house, policies=("app", "nosuch"))).unknown == ("nosuch",)
    draft: dict[str, Any] = {"name": "new", "rules": []}
    assert (await dry(house, policies=("new", "nosuch"), draft=draft)).unknown == ("nosuch",)


async def test_dry_run_for_another(house: House) -> None:
    """For a user by name, or for a set of policies, instead of the caller."""
    await house.allow("app", "s/*", capabilities=("read",))
    await house.do("user.create", "sys/users/", CreateUser(username="ann", policies=("app",)))
    await house.do("user.create", "sys/users/", CreateUser(username="bob"))
    assert (await dry(house, user="ann")).allowed
    assert not (await dry(house, user="bob")).allowed
    assert (await dry(house, user="bob", policies=("app",))).allowed
    with pytest.raises(NotFoundError):
        await dry(house, user="nobody")


async def test_dry_run_of_too_many_policies(house: House) -> None:
    """No token and no user has more than 64, and each has to be compiled."""
    names = tuple(f"p{number}" for number in range(65))
    for given in (names[:64], names):
        asked = DryRunAccess(capability="read", path="s/a", policies=given)
        if given is names:
            with pytest.raises(ValidationError):
                await house.do("policy.dry_run", "sys/policies-dry-run", asked)
        else:
            assert not (await house.do("policy.dry_run", "sys/policies-dry-run", asked)).allowed


async def test_dry_run_of_conditions(house: House) -> None:
    """Address, method, time and tags are those of the question, else of the asking request."""
    rule = {
        **READ,
        "conditions": [
            {"type": "source_network", "networks": ["192.0.2.0/24"]},
            {"type": "auth_method", "methods": ["jwt"]},
            {"type": "mfa_present"},
            {"type": "tags", "any": ["open"]},
        ],
    }
    await house.do("policy.write", AT, WritePolicy(document={"rules": [rule]}))
    await house.write("s/a", tags=["open"])
    asked: dict[str, Any] = {"policies": ("app",), "ip": "192.0.2.7", "method": "jwt", "mfa": True}
    assert (await dry(house, **asked)).allowed
    for changed in ({"ip": None}, {"method": None}, {"mfa": None}, {"tags": ()}):
        assert not (await dry(house, **{**asked, **changed})).allowed
    assert (await dry(house, **{**asked, "path": "s/none", "tags": ("open",)})).allowed


async def test_dry_run_of_a_list(house: House) -> None:
    """A folder with its closing slash, or without."""
    who = await house.allow("app", "s/*", capabilities=("list",))
    for path in ("s/", "s"):
        assert (await dry(house, by=who, capability="list", path=path)).allowed


@pytest.mark.parametrize(
    "asked", [{"capability": "fly"}, {"path": "s//a"}, {"path": ""}, {"method": "magic"}]
)
async def test_dry_run_of_nonsense(house: House, asked: dict[str, Any]) -> None:
    """What no request could be is an error, not a no."""
    with pytest.raises(ValidationError):
        await dry(house, **asked)


async def test_dry_run_changes_nothing(house: House) -> None:
    """Not even the count of reads."""
    head = (await house.write("s/a")).secret
    await dry(house)
    assert (await house.access.get(head.id)).value_reads == 0


async def test_dry_run_of_a_draft(house: House) -> None:
    """It stands in for the stored policy of its name, and nothing is stored."""
    await house.do("policy.write", AT, WritePolicy(document={"rules": [READ]}))
    denies = {"effect": "deny", "paths": ["s/a"], "capabilities": ["read"]}
    draft = {"name": "app", "rules": [READ, denies]}
    assert (await dry(house, policies=("app",))).allowed
    found = await dry(house, policies=("app",), draft=draft)
    assert (found.allowed, found.rule) == (False, "app/rules[1]")
    assert (await dry(house, policies=("new",), draft={**draft, "name": "new"})).reason == (
        "deny_rule"
    )
    assert (await dry(house, policies=("app",))).allowed
    assert (await house.do("policy.list", "sys/policies/")).policies == [
        "app", "default", "root", "service-rotation",
    ]  # fmt: skip


async def test_a_faulty_draft_is_told_with_its_place(house: House) -> None:
    """As writing it would be refused."""
    bad = {"name": "app", "rules": [{**READ, "paths": ["/s"]}]}
    with pytest.raises(ValidationError) as caught:
        await dry(house, policies=("app",), draft=bad)
    assert caught.value.details["field"] == "draft.rules[0].paths[0]"
    for nameless in ({"rules": [READ]}, {"name": "root", "rules": [READ]}):
        with pytest.raises(ValidationError):
            await dry(house, draft=nameless)
