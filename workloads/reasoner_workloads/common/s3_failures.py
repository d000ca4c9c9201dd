"""What an error of boto3 amounts to: nothing is there, it may pass, or it stays. Used by `store_s3`; pure."""

from __future__ import annotations

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    SSLError,
)
from s3transfer.exceptions import RetriesExceededError

from reasoner_workloads.common.store_base import Missing, StoreError

#: How boto3 fails.
FAILURES = (ClientError, BotoCoreError, Boto3Error, RetriesExceededError)
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
_BUSY = frozenset({"RequestTimeout", "RequestTimeTooSkewed", "SlowDown", "Throttling", "ThrottlingException"})


class Away(StoreError):
    """The store does not answer, or says that it cannot just now: it is worth another try."""


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
    # A certificate that is not trusted is the configuration's fault.
    passing = isinstance(cause, (ConnectionError, HTTPClientError, IncompleteReadError))
    return passing and not isinstance(cause, SSLError)
