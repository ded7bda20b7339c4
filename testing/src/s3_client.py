"""Another client of S3 than the pump's: asks a store, and answers in JSON.

    s3_client.py ENDPOINT KEY SECRET COMMAND ARGUMENTS...
"""

import datetime
import io
import json
import sys

import boto3
import pyarrow
import pyarrow.parquet
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint, key, secret, command, *arguments = sys.argv[1:]
s3 = boto3.client(
    "s3",
    endpoint_url=endpoint,
    aws_access_key_id=key,
    aws_secret_access_key=secret,
    region_name="us-east-1",
    config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
)


def versions(bucket):
    """Every version of every object."""
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
    return [version for page in pages for version in page.get("Versions", [])]


def content(bucket, version):
    return s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])["Body"].read()


def lines(name, body):
    """The records of an object, whatever it is compressed with."""
    compression = {"gz": "gzip", "zst": "zstd"}.get(name.rsplit(".", 1)[-1])
    stream = pyarrow.input_stream(pyarrow.py_buffer(body), compression=compression)
    text = stream.read().decode()
    assert text.endswith("\n"), f"{name} ends in the middle of a line"
    return [json.loads(line) for line in text.splitlines()]


def plain(value):
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(type(value))


def create(bucket):
    return s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)["ResponseMetadata"]["HTTPStatusCode"]


def allow(bucket, user, prefix, actions):
    if not actions:
        return s3.delete_bucket_policy(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"]
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [user]},
        "Action": actions.split(","),
        "Resource": [f"arn:aws:s3:::{bucket}/{prefix}*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return s3.put_bucket_policy(Bucket=bucket, Policy=policy)["ResponseMetadata"]["HTTPStatusCode"]


def objects(bucket):
    """Key, size and version of every version."""
    return [
        {"key": version["Key"], "size": version["Size"], "version": version["VersionId"], "tag": version["ETag"]}
        for version in versions(bucket)
    ]


def head(bucket, name):
    """What the store says of an object."""
    answer = s3.head_object(Bucket=bucket, Key=name, ChecksumMode="ENABLED")
    answer.pop("ResponseMetadata")
    answer["Tags"] = s3.get_object_tagging(Bucket=bucket, Key=name)["TagSet"]
    return answer


def records(bucket):
    """Every record of every version of every object, with its object's key."""
    found = []
    for version in versions(bucket):
        found += [[version["Key"], record] for record in lines(version["Key"], content(bucket, version))]
    return found


def numbers(bucket):
    """How often each number that the tests put into `alias` is there."""
    counts = {}
    for _, record in records(bucket):
        number = record["alias"][1:].split("-")[0]
        counts[number] = counts.get(number, 0) + 1
    return counts


def columns(bucket):
    """Of every object of columns its types, row groups and rows."""
    found = []
    for version in versions(bucket):
        file = pyarrow.parquet.ParquetFile(io.BytesIO(content(bucket, version)))
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        compressions = {group.column(index).compression for group in groups for index in range(group.num_columns)}
        found.append(
            {
                "key": version["Key"],
                "types": {field.name: str(field.type) for field in file.schema_arrow},
                "groups": [group.num_rows for group in groups],
                "compressions": sorted(compressions),
                "rows": file.read().to_pylist(),
            }
        )
    return found


def uploads(bucket):
    """Uploads in parts that have not come to an end."""
    return [upload["Key"] for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


def attempt(what, bucket, name, version=None):
    """Does something, and tells what the store's word for it was."""
    now = datetime.datetime.now(datetime.timezone.utc)
    soon = now + datetime.timedelta(seconds=5)

    def shorten(mode, **more):
        retention = {"Mode": mode, "RetainUntilDate": soon}
        s3.put_object_retention(Bucket=bucket, Key=name, Retention=retention, **more)

    attempts = {
        "put": lambda: s3.put_object(Bucket=bucket, Key=name, Body=b"x"),
        "put-new": lambda: s3.put_object(Bucket=bucket, Key=name, Body=b"x", IfNoneMatch="*"),
        "get": lambda: s3.get_object(Bucket=bucket, Key=name),
        "list": lambda: s3.list_objects_v2(Bucket=bucket),
        "delete": lambda: s3.delete_object(Bucket=bucket, Key=name),
        "delete-version": lambda: s3.delete_object(Bucket=bucket, Key=name, VersionId=version),
        "shorten-compliance": lambda: shorten("COMPLIANCE"),
        "shorten-governance": lambda: shorten("GOVERNANCE"),
        "shorten-bypass": lambda: shorten("GOVERNANCE", BypassGovernanceRetention=True),
    }
    try:
        attempts[what]()
        return "done"
    except ClientError as error:
        return error.response["Error"]["Code"]


print(json.dumps(globals()[command](*arguments), default=plain))
