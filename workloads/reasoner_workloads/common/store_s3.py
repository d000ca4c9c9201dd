"""A bucket as a store. Opened by `store.open_store`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from reasoner_workloads.common.store_base import CHUNK, Missing, Store, StoreError, replacing

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_TAKEN = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})


class S3Store(Store):
    """A bucket, or a prefix of one, by boto3: multipart uploads, checksums, standard retries."""

    def __init__(self, bucket: str, prefix: str, *, endpoint: str | None, region: str) -> None:
        self.bucket = bucket
        self.prefix = f"{prefix}/" if prefix else ""
        self.uri = f"s3://{bucket}/{prefix}".rstrip("/")
        # Servers under a name of their own seldom answer to bucket subdomains.
        style = {"addressing_style": "path"} if endpoint or os.environ.get("AWS_ENDPOINT_URL") else {}
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=region,
            config=Config(retries={"mode": "standard", "max_attempts": 8}, connect_timeout=10, s3=style),
        )

    @contextmanager
    def _speaking_of(self, key: str) -> Iterator[None]:
        """Failures of boto3 as StoreErrors that name the object."""
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                raise Missing(f"{self.at(key)} does not exist") from None
            raise StoreError(f"{self.at(key)}: {error}") from error
        except NoCredentialsError as error:
            raise StoreError(
                f"{self.at(key)}: {error}: name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in "
                "storage.credentialsSecretRef, or a service account with the right to the bucket in "
                "compute.serviceAccountName"
            ) from error
        except (BotoCoreError, Boto3Error) as error:
            raise StoreError(f"{self.at(key)}: {error}") from error

    def put(self, key: str, data: bytes | Path) -> None:
        with self._speaking_of(key):
            if isinstance(data, Path):
                self.client.upload_file(str(data), self.bucket, self.prefix + key)
            else:
                self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data)

    def put_new(self, key: str, data: bytes) -> bool:
        where = {"Bucket": self.bucket, "Key": self.prefix + key}
        with self._speaking_of(key):
            try:
                self.client.put_object(**where, Body=data, IfNoneMatch="*")
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in _TAKEN:
                    return False
                if code != "NotImplemented":
                    raise
                # Servers without conditional writes: look first, and accept the gap between.
                if self.exists(key):
                    return False
                self.client.put_object(**where, Body=data)
        return True

    def stream(self, key: str, start: int = 0, size: int | None = None) -> Iterator[bytes]:
        if size == 0:
            return
        end = "" if size is None else str(start + size - 1)
        part = {"Range": f"bytes={start}-{end}"} if start or end else {}
        with self._speaking_of(key):
            body = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key, **part)["Body"]
            with body:
                yield from body.iter_chunks(CHUNK)

    def download(self, key: str, path: Path) -> None:
        # Ranges in parallel, each retried: a broken connection does not cost the whole file.
        with self._speaking_of(key), replacing(path) as file:
            self.client.download_fileobj(self.bucket, self.prefix + key, file)

    def exists(self, key: str) -> bool:
        try:
            with self._speaking_of(key):
                self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
        except Missing:
            return False
        return True

    def list(self, prefix: str = "") -> list[str]:
        with self._speaking_of(prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=self.prefix + prefix
            )
            return sorted(item["Key"].removeprefix(self.prefix) for page in pages for item in page.get("Contents", ()))

    def delete(self, key: str) -> None:
        with self._speaking_of(key):
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)
