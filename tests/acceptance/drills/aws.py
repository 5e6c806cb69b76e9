"""The commands `aws s3 sync`, `s3api list-object-versions` and `s3api get-object`, as the page has.

The real program is no dependency; this one has its arguments and its output. Where the bucket is
and whose credentials count is in the environment, as for the real one.
"""

import argparse
import sys
from pathlib import Path

import boto3
import jmespath


def main() -> None:
    """One command."""
    client = boto3.client("s3", region_name="us-east-1")
    service, operation, *words = sys.argv[1:]
    match service, operation:
        case "s3", "sync":
            _sync(client, *words)
        case "s3api", "list-object-versions":
            given = _options(words, "bucket", "prefix", "query", "output")
            pages = client.get_paginator("list_object_versions").paginate(
                Bucket=given.bucket, Prefix=given.prefix
            )
            for row in jmespath.search(given.query, pages.build_full_result()):
                sys.stdout.write("\t".join(map(str, row)) + "\n")
        case "s3api", "get-object":
            given = _options(words[:-1], "bucket", "key", "version-id")
            found = client.get_object(
                Bucket=given.bucket, Key=given.key, VersionId=given.version_id
            )
            Path(words[-1]).write_bytes(found["Body"].read())
        case _:
            sys.exit(f"not one of the page's commands: {sys.argv[1:]}")


def _sync(client: object, source: str, target: str) -> None:
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    pages = client.get_paginator("list_objects_v2").paginate(  # type: ignore[attr-defined]
        Bucket=bucket, Prefix=f"{prefix}/"
    )
    for each in pages.build_full_result()["Contents"]:
        file = Path(target, each["Key"].removeprefix(f"{prefix}/"))
        file.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, each["Key"], str(file))  # type: ignore[attr-defined]


def _options(words: list[str], *names: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
