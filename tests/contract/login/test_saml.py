"""The method `saml`: from the question to the login, and who gets in."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from actors.world import SystemWorld
from tests.support.login import MOUNT, KeptEntries
from tests.support.saml_provider import PERSISTENT, Said, SamlProvider, read_question
from vault.authn.jwt.digest import digest_of
from vault.authn.methods.method import (
    CONFIG,
    ActionRequest,
    EntryChange,
    LoginRefusedError,
    LoginRequest,
    LoginResult,
)
from vault.authn.methods.saml.documents import SamlConfig, SamlRole
from vault.authn.methods.saml.method import (
    ANSWER_LIFETIME,
    LOOPBACK,
    REQUEST_LIFETIME,
    ROLE,
    AnswerRefusedError,
    BeginSaml,
    BringAnswer,
    SamlMethod,
)
from vault.errors import ValidationError
from vault.model.operation import Origin
from vault.model.records import TokenRow

PROVIDER = SamlProvider()
US = "https://agent.example"
ACS, ACS_2 = f"{US}/v1/auth/login/callback", "https://agent-2.example/v1/auth/login/callback"
BACK = "http://localhost:8250/saml/callback"
HERE = Origin(ip="10.0.0.1")
VERIFIER = "client's own"
CONFIGURED = SamlConfig(
    idp_entity_id=PROVIDER.entity_id,
    idp_sso_url=PROVIDER.sso_url,
    idp_cert=PROVIDER.pem,
    entity_id=US,
    acs_urls=(ACS, ACS_2),
    default_role="people",
)


class House:
    """A mount of the method, with a clock of its own."""

    def __init__(self, role: SamlRole | None = None) -> None:
        self.ahead = 0
        world = SystemWorld()
        self.world = world
        self.entries = KeptEntries(lambda: world.now() + self.ahead)
        self.entries.keep(CONFIG, CONFIG, CONFIGURED)
        self.entries.keep(ROLE, "people", role or SamlRole(token_policies=("app",)))
        secrets = iter(f"secret{number}" for number in range(1000))
        self.method = SamlMethod(self.entries, world, lambda: next(secrets))

    async def begin(self, **fields: str) -> str:
        """The provider's URL."""
        usual = {"client_challenge": digest_of(VERIFIER), "redirect_uri": BACK}
        request = ActionRequest(
            mount=MOUNT, name="", fields=BeginSaml(**{**usual, **fields}), origin=HERE
        )
        return str((await self.method.begin(request))["sso_service_url"])

    async def bring(self, url: str, *, relay_state: str | None = None, **changed: Any) -> str:
        """The code that a browser comes back with, once the provider has said something."""
        question = read_question(url)
        usual = {"request_id": question.id, "acs_url": question.acs_url, "audience": US}
        answer = PROVIDER.respond(Said(**{**usual, **changed}))
        return await self.post(answer, question.relay_state if relay_state is None else relay_state)

    async def post(self, answer: str, relay_state: str) -> str:
        """The same, of an answer."""
        fields = BringAnswer(SAMLResponse=answer, RelayState=relay_state)
        request = ActionRequest(mount=MOUNT, name="", fields=fields, origin=HERE)
        parts = urlsplit((await self.method.call_back(request))["redirect_uri"])
        assert parts.netloc == "localhost:8250"
        return parse_qs(parts.query)["code"][0]

    async def log_in(self, code: str, verifier: str = VERIFIER) -> LoginResult:
        """What the client does, the transaction of the login included."""
        shown = {"code": code, "client_verifier": verifier}
        request = LoginRequest(mount=MOUNT, path="login", fields=shown, origin=HERE)
        result = await self.method.login(request)
        assert result.claim is not None
        await self.entries.transact(MOUNT.id, result.claim)
        return result

    async def run(self, **changed: Any) -> LoginResult:
        """All of it."""
        return await self.log_in(await self.bring(await self.begin(), **changed))


async def test_somebody_logs_in() -> None:
    """The question says who asks and where the answer goes; the login says who it is."""
    house = House()
    url = await house.begin(acs_url=ACS_2)
    question = read_question(url)
    assert (question.issuer, question.acs_url) == (US, ACS_2)
    assert (question.destination, question.tenant) == (PROVIDER.sso_url, "1")
    found = await house.log_in(await house.bring(url, subject="ann@example.org"))
    assert (found.alias, found.display_name, found.role) == ("ann@example.org",) * 2 + ("people",)
    assert found.token.policies == ("app",)
    assert found.groups is None


async def test_a_login_is_of_whoever_began_it() -> None:
    """Neither the browser's code alone counts, nor another client's secret."""
    house = House()
    code = await house.bring(await house.begin())
    for verifier in ("", "another", digest_of(VERIFIER)):
        with pytest.raises(LoginRefusedError, match="somebody else"):
            await house.log_in(code, verifier)
    await house.log_in(code)
    with pytest.raises(LoginRefusedError, match="unknown, used"):
        await house.log_in(code)


async def test_a_code_counts_once_among_many() -> None:
    """Whoever was quicker has it: the transaction decides."""
    house = House()
    shown = {"code": await house.bring(await house.begin()), "client_verifier": VERIFIER}
    request = LoginRequest(mount=MOUNT, path="login", fields=shown, origin=HERE)
    first, second = await house.method.login(request), await house.method.login(request)
    assert first.claim is not None
    assert second.claim is not None
    await house.entries.transact(MOUNT.id, first.claim)
    with pytest.raises(LoginRefusedError, match="used"):
        await house.entries.transact(MOUNT.id, second.claim)


async def test_an_answer_is_shown_once() -> None:
    """Neither again for the same question, nor the same assertion for another one."""
    house = House()
    url = await house.begin()
    await house.bring(url)
    with pytest.raises(LoginRefusedError, match="RelayState"):
        await house.bring(url)
    with pytest.raises(AnswerRefusedError, match="shown before") as error:
        await house.bring(await house.begin())  # the provider uses the id again
    assert error.value.redirect_uri == BACK
    assert await house.bring(await house.begin(), assertion_id="_a2")


async def test_a_question_has_one_answer() -> None:
    """A wrong one ends it: nobody tries until one is right."""
    house = House()
    url = await house.begin()
    with pytest.raises(AnswerRefusedError, match="audience"):
        await house.bring(url, audience="https://other.example")
    with pytest.raises(LoginRefusedError, match="RelayState"):
        await house.bring(url)


async def test_answers_that_nobody_asked_for() -> None:
    """A provider's own start page, and another flow's state."""
    house = House()
    first, second = await house.begin(), await house.begin()
    with pytest.raises(LoginRefusedError, match="not from the provider"):
        await house.bring(first, relay_state="")
    with pytest.raises(LoginRefusedError, match="InResponseTo"):
        await house.bring(first, relay_state=read_question(second).relay_state)


async def test_questions_and_codes_end() -> None:
    """Five minutes for a person, one for a program."""
    house = House()
    url = await house.begin()
    house.ahead = REQUEST_LIFETIME
    with pytest.raises(LoginRefusedError, match="RelayState"):
        await house.bring(url)
    house.ahead = 0
    code = await house.bring(await house.begin())
    house.ahead = ANSWER_LIFETIME
    with pytest.raises(LoginRefusedError, match="older than a minute"):
        await house.log_in(code)


@pytest.mark.parametrize(
    "fields",
    [
        {"redirect_uri": ""},
        {"redirect_uri": "https://evil.example/saml/callback"},
        {"redirect_uri": "http://localhost:8250/other"},
        {"redirect_uri": "http://localhost.evil.example:8250/saml/callback"},
        {"redirect_uri": "http://localhost:8250/saml/callback\r\nX: y"},
        {"redirect_uri": "http://localhost:8250/saml/call\nback"},
        {"redirect_uri": "http://a@localhost:8250/saml/callback"},
        {"acs_url": "https://evil.example/callback"},
        {"client_challenge": ""},
        {"client_challenge": VERIFIER},
        {"role": "x" * 3000},
    ],
)
async def test_a_question_that_is_not_asked(fields: dict[str, str]) -> None:
    """Where a browser goes afterwards is the mount's and the role's to say."""
    with pytest.raises(ValidationError):
        await House().begin(**fields)


async def test_redirects_of_a_role_and_roles_that_are_not_there() -> None:
    """The agent's own page has to be named; this machine's listener does not."""
    page = f"{US}/ui/"
    house = House(SamlRole(allowed_redirect_uris=(page,)))
    assert await house.begin(redirect_uri=page, role="People")
    assert await house.begin(redirect_uri=LOOPBACK[1].replace("127.0.0.1", "127.0.0.1:1"))
    with pytest.raises(LoginRefusedError):
        await house.begin(role="nobody")


ROLE_RULES: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"bound_subjects": ("ann", "bob")}, {}, True),
    ({"bound_subjects": ("bob",)}, {}, False),
    ({"bound_subjects": ("a*",), "bound_subjects_type": "glob"}, {}, True),
    ({"bound_subjects": ("a*",)}, {}, False),
    ({"bound_attributes": {"team": ["red", "blue"]}}, {"team": ["blue"]}, True),
    ({"bound_attributes": {"team": "red"}}, {"team": ["blue"]}, False),
    ({"bound_attributes": {"team": "red"}}, {}, False),
    (
        {"bound_attributes": {"team": "r*"}, "bound_attributes_type": "glob"},
        {"team": ["red"]},
        True,
    ),
    ({"bound_attributes": {"a": "1", "b": "2"}}, {"a": ["1"]}, False),
    ({"alias_attribute": "mail"}, {"mail": ["x@y"]}, True),
    ({"alias_attribute": "mail"}, {"mail": ["x@y", "z@y"]}, False),
    ({"alias_attribute": "mail"}, {}, False),
    ({"groups_attribute": "groups"}, {"groups": [f"g{n}" for n in range(65)]}, False),
    ({"attribute_mappings": {"dept": "department"}}, {"dept": ["a", "b"]}, False),
]


@pytest.mark.parametrize(("role", "attributes", "allowed"), ROLE_RULES)
async def test_whom_a_role_is_for(
    role: dict[str, Any], attributes: dict[str, list[str]], *, allowed: bool
) -> None:
    """By subject and attributes; each that it names has to fit."""
    house = House(SamlRole(**role))
    if allowed:
        await house.run(attributes=attributes)
        return
    with pytest.raises(LoginRefusedError):
        await house.run(attributes=attributes)


async def test_attributes_become_alias_groups_and_metadata() -> None:
    """A role that names no attribute of groups says nothing of groups."""
    house = House(
        SamlRole(
            alias_attribute="mail",
            groups_attribute="groups",
            attribute_mappings={"dept": "department", "none": "unset"},
        )
    )
    said = {"mail": ["ann@example.org"], "groups": ["dev", "ops", "dev"], "dept": ["it"]}
    found = await house.run(attributes=said)
    assert (found.alias, found.groups) == ("ann@example.org", ("dev", "ops"))
    assert found.metadata == {"department": "it", "role": "people"} == found.alias_metadata
    without = {"mail": ["ann@example.org"]}
    assert (await house.run(attributes=without, assertion_id="_a2")).groups == ()


async def test_a_name_that_changes_with_each_login() -> None:
    """It would be somebody new each time."""
    transient = PERSISTENT.replace("persistent", "transient")
    with pytest.raises(LoginRefusedError, match="transient"):
        await House().run(subject_format=transient)
    house = House(SamlRole(alias_attribute="mail"))
    found = await house.run(subject_format=transient, attributes={"mail": ["x@y"]})
    assert found.alias == "x@y"


async def test_a_role_that_is_gone() -> None:
    """Before the code is shown, and at the renewal of a token."""
    house = House()
    code = await house.bring(await house.begin())
    house.entries.spend(ROLE, "people")
    with pytest.raises(LoginRefusedError):
        await house.log_in(code)
    row = TokenRow(
        id="t", accessor="a", secret_hash=b"", display_name="d", policies=[], meta={}, path="p",
        created_at=1, issued_at=1, ttl=1, expires_at=2, role="people",
    )  # fmt: skip
    with pytest.raises(LoginRefusedError, match="role is gone"):
        await house.method.renew(MOUNT, row)


async def config(**given: Any) -> SamlConfig:
    """What is stored of a configuration that is written."""
    house = House()
    kind = house.method.kinds[CONFIG]
    assert kind.prepare is not None
    own = {key: value for key, value in given.items() if key not in kind.write_only}
    new = SamlConfig(**{"entity_id": US, "acs_urls": (ACS,), **own})
    stored = await kind.prepare(
        EntryChange(mount=MOUNT, name=CONFIG, old=None, given=given, new=new)
    )
    assert isinstance(stored, SamlConfig)
    return stored


async def test_metadata_of_a_provider() -> None:
    """They say who it is, where it is, and what it signs with."""
    for use in (' use="signing"', ""):
        found = await config(idp_metadata=PROVIDER.metadata(use=use))
        assert (found.idp_entity_id, found.idp_sso_url) == (PROVIDER.entity_id, PROVIDER.sso_url)
        assert found.idp_cert.split() == PROVIDER.pem.split()
    with pytest.raises(ValidationError, match="idp_cert"):
        await config(idp_metadata=PROVIDER.metadata(use=' use="encryption"'))
    with pytest.raises(ValidationError, match="are not fetched"):
        await config(idp_metadata_url="https://idp.example/metadata")


@pytest.mark.parametrize(
    "changed",
    [
        {"idp_entity_id": ""},
        {"idp_sso_url": "http://idp.example/sso"},
        {"idp_sso_url": "javascript:x"},
        {"idp_cert": ""},
        {"idp_cert": "-----BEGIN CERTIFICATE-----"},
        {"entity_id": ""},
        {"acs_urls": ()},
        {"acs_urls": ("http://agent.example/callback",)},
        {"clock_skew_leeway": 61 * 10**9},
        {"idp_metadata": "<!DOCTYPE x><x/>"},
        {"idp_metadata": "<x/>"},
        {"idp_metadata": PROVIDER.metadata().replace("HTTP-Redirect", "HTTP-POST")},
        {"idp_metadata": PROVIDER.metadata().replace("IDPSSO", "SPSSO")},
        {"idp_metadata": "x" * 300_000},
    ],
)
async def test_a_configuration_that_cannot_work(changed: dict[str, Any]) -> None:
    """At its writing, with the field."""
    provider = {
        "idp_entity_id": PROVIDER.entity_id,
        "idp_sso_url": PROVIDER.sso_url,
        "idp_cert": PROVIDER.pem,
    }
    assert await config(**provider)
    with pytest.raises(ValidationError) as error:
        await config(**{**provider, **changed})
    assert error.value.details["field"]


async def test_weak_keys_of_a_provider() -> None:
    """They are refused as the algorithms are."""
    weak = SamlProvider(key=rsa.generate_private_key(65537, 1024))  # noqa: S505  # the point
    with pytest.raises(ValidationError, match="2048"):
        await config(idp_metadata=weak.metadata())


@pytest.mark.parametrize(
    "fields",
    [
        {"bound_subjects_type": "regex"},
        {"bound_attributes_type": "x"},
        {"bound_attributes": {"a": []}},
        {"bound_attributes": {"a": [1]}},
        {"bound_attributes": {"/a": "x"}},
        {"attribute_mappings": {"a": "role"}},
        {"attribute_mappings": {"a": "x", "b": "x"}},
        {"allowed_redirect_uris": ("http://agent.example/ui",)},
        {"bound_subjects": ("x",) * 201},
        {"token_policies": ("root",)},
    ],
)
async def test_a_role_that_cannot_work(fields: dict[str, Any]) -> None:
    """At its writing."""
    kind = House().method.kinds[ROLE]
    assert kind.prepare is not None
    with pytest.raises(ValidationError):
        await kind.prepare(
            EntryChange(mount=MOUNT, name="r", old=None, given=fields, new=SamlRole(**fields))
        )
