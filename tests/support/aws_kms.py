"""AWS KMS and IAM of moto's server, which checks signatures and policies."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from botocore.session import Session

from tests.support.backup_servers import aws_file, first_line, request, running

REGION: Final = "eu-central-1"
POLICY: Final = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["kms:DescribeKey", "kms:Encrypt", "kms:Decrypt"],
            "Resource": "*",
        }
    ],
}
"""As docs/guides/cloud-kms.md has it, but for the key's ARN."""
ADMIN: Final = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["kms:*", "iam:*"], "Resource": "*"}],
}


class AwsKms:
    """A server, and what its administrator does."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self._folder = folder
        iam = self._client("iam", "setup", "setup")
        for name, policy in (("agent", POLICY), ("stranger", None), ("admin", ADMIN)):
            iam.create_user(UserName=name)
            if policy is not None:
                iam.put_user_policy(
                    UserName=name, PolicyName="kms", PolicyDocument=json.dumps(policy)
                )
            key = iam.create_access_key(UserName=name)["AccessKey"]
            pair = key["AccessKeyId"], key["SecretAccessKey"]
            aws_file(folder / name, *pair)
        iam.close()
        self._kms = self._client("kms", *pair)
        request("POST", f"{address}/moto-api/reset-auth", b"0", Content_Type="text/plain")

    def _client(self, service: str, key: str, secret: str) -> Any:
        return Session().create_client(
            service, region_name=REGION, endpoint_url=self.address,
            aws_access_key_id=key, aws_secret_access_key=secret,
        )  # fmt: skip

    def make_key(self, alias: str, **settings: str) -> str:
        """Its ARN. An alias that there is goes to the new key."""
        settings = {"KeyUsage": "ENCRYPT_DECRYPT", **settings}
        arn: str = self._kms.create_key(**settings)["KeyMetadata"]["Arn"]
        taken = {each["AliasName"] for each in self._kms.list_aliases()["Aliases"]}
        change = self._kms.update_alias if alias in taken else self._kms.create_alias
        change(AliasName=alias, TargetKeyId=arn)
        return arn

    def disable(self, arn: str) -> None:
        """A key."""
        self._kms.disable_key(KeyId=arn.rpartition("/")[2])  # moto wants the id

    def schedule_deletion(self, arn: str) -> None:
        """Of a key."""
        self._kms.schedule_key_deletion(KeyId=arn.rpartition("/")[2])

    def section(self, key: str, user: str = "agent") -> dict[str, Any]:
        """`encryption.cloud_kms.aws`."""
        return {
            "key": key, "region": REGION, "endpoint": self.address,
            "credentials_file": str(self._folder / user),
        }  # fmt: skip

    def credentials(self, user: str) -> str:
        """The file of a user."""
        return (self._folder / user).read_text()

    def close(self) -> None:
        """The administrator's connection."""
        self._kms.close()


@contextmanager
def aws_kms(folder: Path) -> Iterator[AwsKms]:
    """A server of its own, which ends with the block."""
    with running(sys.executable, "-m", "tests.support.bucket_server", "s3") as process:
        server = AwsKms(f"http://127.0.0.1:{first_line(process)}", folder)
        yield server
        server.close()
