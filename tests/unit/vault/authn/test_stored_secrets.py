"""What a configuration keeps for an identity source goes to that source alone."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.world import SystemWorld
from protocols.outbound import AddressClass
from tests.support.login import MOUNT, Entries
from vault.authn.jwt.source_client import SourceAnswer, SourceClient, SourceRequest
from vault.authn.methods.json_web_token import JwtMethod
from vault.authn.methods.jwt_mounts import ROLE, JwtConfig, JwtMounts
from vault.authn.methods.kubernetes import KubernetesConfig, KubernetesMethod, KubernetesRole
from vault.authn.methods.ldap.config import LdapConfig
from vault.authn.methods.ldap.method import LdapMethod
from vault.authn.methods.method import CONFIG, EntryChange, LoginRequest
from vault.errors import UnavailableError, ValidationError
from vault.model.identity import Method
from vault.model.operation import Origin

CA = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.AAAA"
CONFIGS: dict[str, tuple[Any, tuple[dict[str, Any], ...], dict[str, Any]]] = {
    "bindpass": (
        LdapConfig(url="ldaps://dir.test", binddn="cn=a", bindpass="stored"),
        ({"url": "ldaps://evil.test"}, {"certificate": "x"}, {"starttls": True}),
        {"userdn": "dc=x"},
    ),
    "token_reviewer_jwt": (
        KubernetesConfig(kubernetes_host="https://k8s.test", token_reviewer_jwt="stored"),
        ({"kubernetes_host": "https://evil.test"}, {"kubernetes_ca_cert": CA}),
        {"disable_local_ca_jwt": False},
    ),
    "oidc_client_secret": (
        JwtConfig(
            oidc_discovery_url="https://idp.test", oidc_client_id="c", oidc_client_secret="stored"
        ),
        (
            {"oidc_discovery_url": "https://evil.test"},
            {"override_allowed_server_names": ["evil.test"]},
        ),
        {"default_role": "r"},
    ),
}


class Sources(SourceClient):
    """Answers each review, and keeps what it was asked with."""

    def __init__(self) -> None:
        super().__init__(SystemWorld())
        self.seen: list[SourceRequest] = []

    async def send(self, request: SourceRequest) -> SourceAnswer:
        """Nobody is known."""
        self.seen.append(request)
        return SourceAnswer(200, b'{"status":{"authenticated":false}}', AddressClass.PRIVATE)


def kinds_of(old: Any) -> Any:
    """The configuration's kind."""
    entries, world, client = Entries({}), SystemWorld(), Sources()
    match old:
        case LdapConfig():
            return LdapMethod(entries, world).kinds[CONFIG]
        case JwtConfig():
            mounts = JwtMounts(entries, client, world)
            return JwtMethod(Method.OIDC, mounts, lambda: "x").kinds[CONFIG]
        case _:
            return KubernetesMethod(entries, client, world).kinds[CONFIG]


@pytest.mark.parametrize("secret", CONFIGS)
async def test_a_secret_is_written_again_with_a_new_place(secret: str) -> None:
    """Whoever may write, and not read it, cannot have it sent to a server of their own."""
    old, moves, harmless = CONFIGS[secret]
    prepare = kinds_of(old).prepare

    async def write(**fields: Any) -> Any:
        new = msgspec.convert({**msgspec.to_builtins(old), **fields}, type(old))
        given = {**fields, "skip_jwks_validation": True}
        return await prepare(EntryChange(mount=MOUNT, name=CONFIG, old=old, given=given, new=new))

    for move in moves:
        with pytest.raises(ValidationError) as caught:
            await write(**move)
        assert (caught.value.code, caught.value.details["field"]) == ("secret_needed", secret)
    assert getattr(await write(**harmless), secret) == "stored"
    assert getattr(await write(**moves[0], **{secret: "new"}), secret) == "new"


@pytest.mark.parametrize(
    ("host", "ca", "sent"),
    [
        ("https://k8s.test", "", "the pod's"),
        ("https://k8s.test", "the cluster's\n", "the pod's"),
        ("https://k8s.test", CA, TOKEN),
        ("http://127.0.0.1:1", "", TOKEN),
    ],
)
async def test_the_pods_token_is_for_its_own_cluster(
    tmp_path: Path, host: str, ca: str, sent: str
) -> None:
    """With another CA it is another server, which gets the caller's own token and no more."""
    (tmp_path / "ca.crt").write_text("the cluster's")
    (tmp_path / "token").write_text("the pod's")
    client = Sources()
    role = KubernetesRole(
        bound_service_account_names=("*",), bound_service_account_namespaces=("*",)
    )
    config = KubernetesConfig(kubernetes_host=host, kubernetes_ca_cert=ca)
    entries = Entries({(CONFIG, CONFIG): config, (ROLE, "app"): role})
    asked = KubernetesMethod(entries, client, SystemWorld(), tmp_path)
    fields = {"role": "app", "jwt": TOKEN}
    origin = Origin(ip="127.0.0.1")
    request = LoginRequest(mount=MOUNT, path="login", fields=fields, origin=origin)
    with pytest.raises(Exception, match="does not know it"):
        await asked.login(request)
    assert [one.headers["Authorization"] for one in client.seen] == [f"Bearer {sent}"]


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0.0.0.0"])  # not bound to
async def test_no_directory_is_where_clouds_keep_credentials(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor on any link: nothing is sent there."""
    config = LdapConfig(url=f"ldaps://{host}", userdn="dc=x")
    asked = LdapMethod(Entries({(CONFIG, CONFIG): config}), SystemWorld())
    origin = Origin(ip="127.0.0.1")
    request = LoginRequest(mount=MOUNT, path="login/ann", fields={"password": "x"}, origin=origin)
    with pytest.raises(UnavailableError):
        await asked.login(request)
    assert "its address is not one to connect to" in caplog.text
