"""Terraform, CloudFormation, Packer, cloud-init, Ansible: each file names what there is.

`make iac-check` runs other people's tools on them, and installs by them.
"""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import hcl2
import pytest
import yaml
from typer.main import get_command

from ui.cli.main import app
from vault.config import Settings, load_settings

CLOUDS = ("aws", "azure", "gcp")
FOLDERS = ("terraform", "cloudformation", "packer", "cloud-init", "ansible")
MODULES = (*CLOUDS, "kubernetes")
UNSEAL = {
    "aws": ["kms:DescribeKey", "kms:Encrypt", "kms:Decrypt"],
    "gcp": [
        "cloudkms.cryptoKeys.get",
        "cloudkms.cryptoKeyVersions.useToEncrypt",
        "cloudkms.cryptoKeyVersions.useToDecrypt",
    ],
}
"""All that an agent may do with its key (docs/guides/unseal-with-*.md)."""
BACKUP = ["s3:GetObject", "s3:PutObject", "s3:PutObjectRetention", "s3:DeleteObject"]
VALUES = {
    "key": {
        "aws": "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "azure": "root",
        "gcp": "projects/p/locations/europe-west3/keyRings/freehold/cryptoKeys/root",
    }
}
PLAIN = {
    "region": "eu-central-1",
    "bucket": "example-backups",
    "prefix": "agents/freehold",
    "lock_days": "30",
    "vault": "https://freehold.vault.azure.net",
    "account": "examplebackups",
    "container": "freehold",
}
ROLE = "deploy/ansible/roles/freehold_agent"
STATE = ("/var/lib/freehold", "/var/log/freehold", "/var/lib/freehold-anchor", "/etc/freehold/tls")


class CloudFormationLoader(yaml.SafeLoader):
    """YAML with the short forms of functions: `!Sub x` is {"Sub": x}."""


def _function(loader: CloudFormationLoader, suffix: str, node: yaml.Node) -> Any:
    match node:
        case yaml.ScalarNode():
            return {suffix: loader.construct_scalar(node)}
        case yaml.SequenceNode():
            return {suffix: loader.construct_sequence(node, deep=True)}
        case _:
            assert isinstance(node, yaml.MappingNode)
            return {suffix: loader.construct_mapping(node, deep=True)}


CloudFormationLoader.add_multi_constructor("!", _function)


@pytest.fixture(scope="module")
def modules() -> dict[str, dict[str, Any]]:
    """Each Terraform module and the Packer template, its files merged."""
    deploy = Path(__file__).parents[3] / "deploy"
    found: dict[str, dict[str, Any]] = {}
    for folder in (*(deploy / "terraform" / name for name in MODULES), deploy / "packer"):
        merged: dict[str, Any] = {}
        for file in sorted((*folder.glob("*.tf"), *folder.glob("*.pkr.hcl"))):
            for kind, blocks in hcl2.loads(file.read_text()).items():
                if isinstance(blocks, list):
                    merged.setdefault(kind, []).extend(blocks)
        found[folder.name] = merged
    return found


@pytest.fixture
def stack(root: Path) -> dict[str, Any]:
    """The template of CloudFormation."""
    text = (root / "deploy/cloudformation/agent.yaml").read_text()
    found: dict[str, Any] = yaml.load(text, CloudFormationLoader)  # noqa: S506  # of SafeLoader
    return found


def unquote(value: Any) -> Any:
    """Text without the quotes that python-hcl2 keeps."""
    match value:
        case str():
            return value.strip('"')
        case list():
            return [unquote(each) for each in value]
        case dict():
            return {unquote(key): unquote(each) for key, each in value.items()}
        case _:
            return value


def blocks(module: dict[str, Any], kind: str, first: str) -> dict[str, dict[str, Any]]:
    """The blocks `kind "first" "NAME"`, by name."""
    return {
        name: unquote(body)
        for block in module.get(kind, [])
        for type_, named in block.items()
        if unquote(type_) == first
        for name, body in unquote(named).items()
    }


def texts(root: Path) -> Iterator[tuple[str, str]]:
    """Every file of these folders: its path and text."""
    for folder in FOLDERS:
        for file in sorted((root / "deploy" / folder).rglob("*")):
            if file.is_file():
                yield str(file.relative_to(root)), file.read_text()


# --- what they name exists


def test_files_that_are_named_exist(root: Path) -> None:
    """Of the repository, wherever a path of it stands."""
    named = re.compile(r"(?<![\w./-])(?:deploy|docs|requirements|tools)/[\w./*-]*\w")
    found = [(path, name) for path, text in texts(root) for name in named.findall(text)]
    missing = {(path, name) for path, name in found if not list(root.glob(name))}
    assert not missing
    assert len(found) > 20


def test_units_that_are_named_exist(root: Path) -> None:
    """By whatever installs, enables or starts one."""
    units = {file.name for file in (root / "deploy/systemd").iterdir()}
    named = re.compile(r"freehold-(?:agent|rotator|control)@?\.(?:service|socket)\b(?!\.d)")
    found = {name for _, text in texts(root) for name in named.findall(text)}
    assert found <= units
    assert found >= {
        "freehold-agent.service",
        "freehold-rotator.socket",
        "freehold-rotator@.service",
    }


def test_commands_that_are_named_exist(root: Path) -> None:
    """`freehold agent init` and others, with their options."""
    shell = (root / "deploy/cloud-init/first-boot.sh").read_text()
    tasks = yaml.safe_load((root / ROLE / "tasks/main.yml").read_text())
    [init] = [task["vars"]["init"] for task in tasks if "init" in task.get("vars", {})]
    lines = [line.strip() for line in shell.splitlines() if line.strip().startswith("freehold ")]
    assert len(lines) == 1
    for words in (*(line.split() for line in lines), [*init[1:], "--name"]):
        command: Any = get_command(app)
        options = [word for word in words if word.startswith("--")]
        for word in words[1:] if words[0] == "freehold" else words:
            if not hasattr(command, "commands") or word.startswith("-"):
                break
            command = command.commands[word]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {"--config", "--user", "--name"} & {*options}
        assert known >= {*options}


def test_commands_in_comments_and_messages_exist(root: Path) -> None:
    """`freehold NOUN VERB`, wherever it stands."""
    top: Any = get_command(app)
    found = {
        words
        for _, text in texts(root)
        for words in re.findall(r"\bfreehold ([a-z]+) ([a-z-]+)", text)
        if words[0] in top.commands
    }
    assert {("agent", "init"), ("operator", "init")} <= found
    for noun, verb in found:
        assert verb in top.commands[noun].commands, (noun, verb)


def test_templates_that_are_named_exist_and_get_what_they_want(
    root: Path, modules: dict[str, dict[str, Any]]
) -> None:
    """Each `templatefile` of a module: the file, and every name in it, and no other."""
    call = re.compile(r'templatefile\("\$\{path\.module\}/([^"]+)", \{(.*?)\n  \}\)', re.DOTALL)
    for cloud in CLOUDS:
        folder = root / "deploy/terraform" / cloud
        found = call.findall((folder / "main.tf").read_text())
        assert len(found) == 2
        for name, body in found:
            text = (folder / name).read_text()
            given = set(re.findall(r"^    (\w+) +=", body, re.MULTILINE))
            assert given == set(re.findall(r"\$\{(\w+)\}", text))
        assert modules[cloud]["locals"]


def test_the_chart_is_this_repositorys(root: Path, modules: dict[str, dict[str, Any]]) -> None:
    """Unless another one is named; a sealed agent is not waited for."""
    release = blocks(modules["kubernetes"], "resource", "helm_release")["agent"]
    [folder] = re.findall(r"\$\{path\.module\}/([\w./-]+)", release["chart"])
    chart = root / "deploy/terraform/kubernetes" / folder / "Chart.yaml"
    assert yaml.safe_load(chart.read_text())["name"] == "freehold-agent"
    assert release["wait"] is False


def test_references_lead_somewhere(root: Path, modules: dict[str, dict[str, Any]]) -> None:
    """`var.x`, `local.x`, `TYPE.NAME`: each is declared, and each variable used."""
    for name in MODULES:
        text = "".join(file.read_text() for file in (root / "deploy/terraform" / name).glob("*.tf"))
        code = re.sub(r"#.*", "", text)
        module = modules[name]
        variables = {unquote(key) for block in module["variable"] for key in block}
        declared = {
            key for block in module.get("locals", []) for key in block if not key.startswith("__")
        }
        assert set(re.findall(r"\bvar\.(\w+)", code)) == variables
        assert set(re.findall(r"\blocal\.(\w+)", code)) == declared
        resources = {
            f"{unquote(kind)}.{unquote(each)}"
            for part in ("resource", "data")
            for block in module.get(part, [])
            for kind, named in block.items()
            for each in named
            if not (kind.startswith("__") or each.startswith("__"))
        }
        kinds = {each.partition(".")[0] for each in resources}
        used = {
            f"{kind}.{each}"
            for kind, each in re.findall(r"\b([a-z0-9]+_\w+)\.(\w+)\b(?=[.\[\]),\s])", code)
            if kind in kinds
        }
        assert used <= resources


# --- settings are those of the program


@pytest.mark.parametrize("cloud", CLOUDS)
def test_settings_of_each_cloud_are_accepted(root: Path, tmp_path: Path, cloud: str) -> None:
    """By the program's own loader; the vault opens by that cloud, and has backups."""
    text = (root / f"deploy/cloud-init/vault-{cloud}.yaml.tftpl").read_text()
    file = tmp_path / "vault.yaml"
    file.write_text(Template(text).substitute(PLAIN, key=VALUES["key"][cloud]))
    check_settings(load_settings(file, {}), cloud)


def test_settings_of_the_stack_are_accepted(tmp_path: Path, stack: dict[str, Any]) -> None:
    """And are those of the module for AWS."""
    [text, names] = stack["Resources"]["Instance"]["Properties"]["UserData"]["Fn::Base64"]["Sub"]
    assert set(names) == {"Data", "Anchor"}
    values = {
        "RootKey.Arn": VALUES["key"]["aws"],
        "AWS::Region": PLAIN["region"],
        "AWS::StackName": "freehold",
        "Backups": PLAIN["bucket"],
        "LockDays": "30",
        "HostName": "vault.example.com",
        "Data": "vol1",
        "Anchor": "vol2",
    }
    used = set(re.findall(r"\$\{([^}]+)\}", text))
    assert used == set(values)
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    found = check_user_data(text)
    file = tmp_path / "vault.yaml"
    file.write_text(found)
    check_settings(load_settings(file, {}), "aws")


def check_settings(settings: Settings, cloud: str) -> None:
    """Everything that must outlive the machine is on a disk that does."""
    assert settings.encryption.key_management == "cloud_kms"
    assert settings.encryption.cloud_kms is not None
    assert getattr(settings.encryption.cloud_kms, cloud) is not None
    assert settings.backup.enabled
    [destination] = settings.backup.destinations
    assert destination.type == {"aws": "s3", "azure": "azure", "gcp": "gcs"}[cloud]
    assert destination.type != "s3" or destination.object_lock
    assert settings.server.tls.enabled
    assert settings.audit_log is not None
    assert settings.anchor.file is not None
    assert settings.server.tls.cert_file is not None
    kept = (settings.audit_log, settings.anchor.file, settings.server.tls.cert_file)
    assert {str(each.parent) for each in kept} == {*STATE} - {"/var/lib/freehold"}
    assert "/var/lib/freehold/" in settings.storage.connection_string.get_secret_value()


@pytest.mark.parametrize("name", ["vault.example.com", "10.1.2.3"])
def test_user_data_of_terraform_is_cloud_config(root: Path, name: str) -> None:
    """The file comes out as it went in, and the first boot is called with what it takes."""
    text = (root / "deploy/cloud-init/user-data.yaml.tftpl").read_text()
    settings = base64.b64encode(b'server: {listen: "0.0.0.0:8200"}\n').decode()
    filled = Template(text).substitute(
        settings=settings, data_device="/dev/d", anchor_device="/dev/a", name=name
    )
    assert check_user_data(filled) == 'server: {listen: "0.0.0.0:8200"}\n'


def check_user_data(text: str) -> str:
    """The settings that it writes."""
    assert text.startswith("#cloud-config\n")
    found = yaml.safe_load(text)
    [file] = found["write_files"]
    assert (file["path"], file["owner"]) == ("/etc/freehold/vault.yaml", "root:freehold")
    assert file["permissions"] == "0640"
    [command] = found["runcmd"]
    assert command[0] == "/usr/local/sbin/freehold-first-boot"
    assert command[1::2] == ["--data", "--anchor", "--name"]
    content: str = file["content"]
    return base64.b64decode(content).decode() if file.get("encoding") == "b64" else content


# --- what they promise


def test_keys_disks_and_backups_are_never_destroyed(
    modules: dict[str, dict[str, Any]], stack: dict[str, Any]
) -> None:
    """Neither with the machine nor by a mistaken apply."""
    kept = {
        "aws": {"aws_kms_key", "aws_ebs_volume", "aws_s3_bucket"},
        "azure": {"azurerm_key_vault", "azurerm_key_vault_key", "azurerm_managed_disk",
                  "azurerm_storage_account", "azurerm_storage_container"},
        "gcp": {"google_kms_crypto_key", "google_compute_disk", "google_storage_bucket"},
        "kubernetes": {"kubernetes_namespace_v1"},
    }  # fmt: skip
    for name, kinds in kept.items():
        for kind in kinds:
            found = blocks(modules[name], "resource", kind)
            assert found, kind
            for body in found.values():
                assert body["lifecycle"][0]["prevent_destroy"] is True, kind
    types = {"AWS::KMS::Key", "AWS::EC2::Volume", "AWS::S3::Bucket"}
    for name, body in stack["Resources"].items():
        if body["Type"] in types:
            assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == ("Retain",) * 2, name


def test_the_key_may_be_used_for_nothing_but_unsealing(
    modules: dict[str, dict[str, Any]], stack: dict[str, Any]
) -> None:
    """The rights are exactly those of the guides, on one key."""
    policy = blocks(modules["aws"], "data", "aws_iam_policy_document")["agent"]["statement"]
    rights = {each["sid"]: (each["actions"], each["resources"]) for each in policy}
    assert rights["Unseal"] == (UNSEAL["aws"], ["${aws_kms_key.root.arn}"])
    assert rights["Backups"][0] == BACKUP
    assert set(rights) == {"Unseal", "ListBackups", "Backups"}
    [inline] = stack["Resources"]["Role"]["Properties"]["Policies"]
    statements = {each["Sid"]: each for each in inline["PolicyDocument"]["Statement"]}
    assert statements["Unseal"]["Action"] == UNSEAL["aws"]
    assert statements["Unseal"]["Resource"] == {"GetAtt": "RootKey.Arn"}
    assert statements["Backups"]["Action"] == BACKUP
    role = blocks(modules["gcp"], "resource", "google_project_iam_custom_role")["unseal"]
    assert role["permissions"] == UNSEAL["gcp"]
    azure = blocks(modules["azure"], "resource", "azurerm_role_assignment")
    assert azure["unseal"]["role_definition_name"] == "Key Vault Crypto Service Encryption User"
    assert azure["unseal"]["scope"] == "${azurerm_key_vault_key.root.resource_versionless_id}"


def test_machines_have_no_public_address_and_imdsv2(
    root: Path, modules: dict[str, dict[str, Any]], stack: dict[str, Any]
) -> None:
    """Unless somebody adds one."""
    instance = blocks(modules["aws"], "resource", "aws_instance")["agent"]
    assert instance["associate_public_ip_address"] is False
    assert instance["metadata_options"][0]["http_tokens"] == "required"
    properties = stack["Resources"]["Instance"]["Properties"]
    assert properties["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    template = stack["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    assert template["MetadataOptions"]["HttpTokens"] == "required"
    [network] = blocks(modules["gcp"], "resource", "google_compute_instance")["agent"][
        "network_interface"
    ]
    assert "access_config" not in network
    [address] = blocks(modules["azure"], "resource", "azurerm_network_interface")["agent"][
        "ip_configuration"
    ]
    assert "public_ip_address_id" not in address
    builder = blocks(modules["packer"], "source", "amazon-ebs")["agent"]
    assert builder["metadata_options"][0]["http_tokens"] == "required"
    assert builder["imds_support"] == "v2.0"


def test_disks_are_encrypted_and_backups_are_kept(
    modules: dict[str, dict[str, Any]], stack: dict[str, Any]
) -> None:
    """With a key of the module; in a bucket or container that lets nobody delete."""
    for body in blocks(modules["aws"], "resource", "aws_ebs_volume").values():
        assert (body["encrypted"], body["kms_key_id"]) == (True, "${aws_kms_key.disk.arn}")
    for body in blocks(modules["gcp"], "resource", "google_compute_disk").values():
        assert body["disk_encryption_key"]
    for body in blocks(modules["azure"], "resource", "azurerm_managed_disk").values():
        assert body["disk_encryption_set_id"]
    for name in ("DataVolume", "AnchorVolume"):
        assert stack["Resources"][name]["Properties"]["Encrypted"] is True
    assert blocks(modules["aws"], "resource", "aws_s3_bucket")["backups"]["object_lock_enabled"]
    assert stack["Resources"]["Backups"]["Properties"]["ObjectLockEnabled"] is True
    assert blocks(modules["gcp"], "resource", "google_storage_bucket")["backups"][
        "retention_policy"
    ]
    assert blocks(modules["azure"], "resource", "azurerm_storage_container_immutability_policy")


def test_the_agent_never_starts_without_its_disks(root: Path) -> None:
    """It would find an empty vault: every folder that is mounted is required by the unit."""
    drop_in = (root / "deploy/cloud-init/disks.conf").read_text()
    [line] = re.findall(r"^RequiresMountsFor=(.*)$", drop_in, re.MULTILINE)
    script = (root / "deploy/cloud-init/first-boot.sh").read_text()
    mounted = set(re.findall(r'^persist "[^"]+" (/\S+)', script, re.MULTILINE))
    assert set(line.split()) == mounted == {*STATE}


# --- shell, Packer, Ansible


@pytest.mark.parametrize("name", ["install.sh", "first-boot.sh", "clean.sh"])
def test_scripts_are_shell(root: Path, name: str) -> None:
    """Of any POSIX shell; each stops at the first failure."""
    file = root / "deploy/cloud-init" / name
    done = subprocess.run(["sh", "-n", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\nset -eu\n" in file.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs --data, --anchor and --name"),
        (["--data", "/dev/d", "--anchor", "/dev/a"], "needs --data, --anchor and --name"),
        (["--data"], "--data needs a value"),
        (["--size", "1"], "unknown option --size"),
        (["--name", "a b"], "a b is no name or address"),
        (["--name", "--listen"], "--listen is no name or address"),
    ],
)
def test_the_first_boot_refuses_what_it_does_not_know(
    root: Path, words: list[str], said: str
) -> None:
    """Before it looks at any disk."""
    script = root / "deploy/cloud-init/first-boot.sh"
    done = subprocess.run(["sh", script, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"first-boot: {said}\n")


def test_packer_uploads_what_the_installation_reads(
    root: Path, modules: dict[str, dict[str, Any]]
) -> None:
    """Each file of the repository that install.sh names is among those that are sent."""
    files = [
        body["file"]
        for block in unquote(modules["packer"]["build"])
        for body in block["provisioner"]
        if "file" in body
    ]
    sent = [path for each in files for path in each.get("sources", [each.get("source")])]
    script = (root / "deploy/cloud-init/install.sh").read_text()
    read = re.findall(r"(?<= )(?:deploy|requirements)/[\w./-]+(?= )", script)
    assert len(read) >= 4
    for name in read:
        assert any(name == path or name.startswith(f"{path}/") for path in sent), name


def test_the_role_gives_files_that_exist(root: Path) -> None:
    """Relative to the role, and every variable has a default but for the wheel."""
    role = root / ROLE
    text = "".join(file.read_text() for file in sorted(role.rglob("*.yml")))
    for name in re.findall(r"\{\{ role_path \}\}/([\w./-]+)", text):
        assert (role / name).exists(), name
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    tasks = "".join(file.read_text() for file in sorted((role / "tasks").glob("*.yml")))
    registered = set(re.findall(r"register: (\w+)", tasks))
    used = set(re.findall(r"\bfreehold_agent_\w+", tasks))
    assert used - registered == {*defaults, "freehold_agent_wheel"}
    for file in sorted((role / "tasks").glob("*.yml")):
        for task in yaml.safe_load(file.read_text()):
            modes = [value for key, value in task.items() if key.startswith("ansible.builtin.")]
            assert len(modes) == 1, task["name"]


def test_the_install_steps_are_those_of_the_manual(root: Path) -> None:
    """The same folder, user and unit, whichever way."""
    script = (root / "deploy/cloud-init/install.sh").read_text()
    tasks = json.dumps(yaml.safe_load((root / ROLE / "tasks/main.yml").read_text()))
    unit = (root / "deploy/systemd/freehold-agent.service").read_text()
    assert (
        "ExecStart=/opt/freehold/bin/freehold agent serve --config /etc/freehold/vault.yaml" in unit
    )
    for text in (script, tasks):
        assert "python3 -m venv /opt/freehold" in text
        assert "--require-hashes" in text
        assert "/usr/sbin/nologin" in text
        assert "freehold-agent.service" in text
