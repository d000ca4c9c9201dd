"""What an error of boto3 amounts to: nothing is there, it may pass, or it stays. Used by `store_s3`; pure."""

from __future__ import annotations

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    SSLError,
)
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError
from urllib3.exceptions import HTTPError

from reasoner_workloads.common.store_base import Missing, StoreError

#: How boto3 fails, and what it is made of.
FAILURES = (ClientError, BotoCoreError, Boto3Error, RetriesExceededError, S3DownloadFailedError, HTTPError)
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
#: Among them that another write of the same object is under way: who has won is known once that one has ended.
_BUSY = frozenset(
    {
        "ConditionalRequestConflict",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
    }
)


class Away(StoreError):
    """The store does not answer, or says that it cannot just now: it is worth another try."""


class Unreached(Away):
    """Nobody is at its address, which may be wrong."""


def told(error: Exception, where: str) -> StoreError:
    """The error as one of the store's, about the object that lies there."""
    cause = _cause(error)
    if isinstance(cause, ClientError) and cause.response["Error"]["Code"] in _MISSING:
        return Missing(f"{where} does not exist")
    if isinstance(cause, NoCredentialsError):
        return StoreError(
            f"{where}: {cause}: name a Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in "
            "storage.credentialsSecretRef, or a service account with the right to the bucket in "
            "compute.serviceAccountName"
        )
    if isinstance(cause, EndpointConnectionError | ConnectTimeoutError):
        return Unreached(f"{where}: {cause}")
    return (Away if _may_pass(cause) else StoreError)(f"{where}: {cause}")


def is_answer(error: Exception) -> bool:
    """Whether it is the store that says so."""
    return isinstance(_cause(error), ClientError)


def _cause(error: Exception) -> Exception:
    """What is behind an error of a transfer, which is many requests."""
    if isinstance(error, RetriesExceededError):
        return error.last_exception if isinstance(error.last_exception, Exception) else error
    if isinstance(error, Boto3Error) and isinstance(error.__context__, Exception):
        return error.__context__
    return error


def _may_pass(cause: Exception) -> bool:
    if isinstance(cause, ClientError):
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or cause.response["Error"]["Code"] in _BUSY
    # Servers hang up in the middle of a handshake, too; a certificate that is not trusted stays so.
    if isinstance(cause, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(cause):
        return False
    return isinstance(cause, (ConnectionError, HTTPClientError, HTTPError, IncompleteReadError))
