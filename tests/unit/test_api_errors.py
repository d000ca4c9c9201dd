"""Which answers of the API server are worth another try, and which are the user's to mend."""

from __future__ import annotations

import json

import pytest

from reasoner_operator.answers import ApiError, Conflict, Refused, Unavailable, checked

CASES: dict[str, tuple[int, str, type[ApiError]]] = {
    "a manifest that does not parse": (400, "bad", Refused),
    "a token that has expired": (401, "Unauthorized", Unavailable),
    "a quota, a policy or a missing right": (403, "exceeded quota", Refused),
    "a namespace that is not there yet": (404, 'namespaces "x" not found', Unavailable),
    "a lost race": (409, "the object has been modified", Conflict),
    "an object that is too large": (413, "request entity too large", Refused),
    "a manifest that breaks a rule": (422, "spec.x: Invalid value", Refused),
    "a server that is busy": (429, "too many requests", Unavailable),
    "a variable given twice, as server-side apply words it": (
        500,
        "failed to create typed patch object (x/demo; batch/v1, Kind=Job): .spec...env: duplicate entries for key",
        Refused,
    ),
    "a webhook that does not answer": (500, "failed calling webhook: connection refused", Unavailable),
    "a server that is starting": (503, "apiserver not ready", Unavailable),
}


@pytest.mark.parametrize("sentence", CASES)
def test_an_error_is_of_the_kind_that_says_whether_trying_again_helps(sentence: str) -> None:
    status, message, kind = CASES[sentence]
    with pytest.raises(kind) as caught:
        checked(status, json.dumps({"kind": "Status", "message": message}).encode())
    assert message in str(caught.value)


def test_an_answer_that_is_no_status_is_quoted() -> None:
    with pytest.raises(Unavailable, match="502: <html>bad gateway"):
        checked(502, b"<html>bad gateway</html>")
