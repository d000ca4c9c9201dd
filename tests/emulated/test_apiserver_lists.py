"""Lists in pages and of past states, and how watches begin: as a real server of version 1.36 answers, in its words."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.apiserver import INITIAL_EVENTS, Api, serving_in_thread

MAPS = "/api/v1/namespaces/default/configmaps"
FAR = "9" * 17


@pytest.fixture
def api() -> Iterator[Api]:
    with serving_in_thread() as url:
        made = Api(url)
        for name in "abcde":
            write(made, name, "first")
        yield made
        made.close()


def write(api: Api, name: str, value: str) -> None:
    labels = {"odd": str(name in "ace").lower()}
    api.apply(f"{MAPS}/{name}", {"metadata": {"name": name, "labels": labels}, "data": {"value": value}})


def shown(part: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["metadata"]["name"], item["data"]["value"]) for item in part["items"]]


def disturb(api: Api) -> None:
    """Something is made, changed and deleted, some of it twice."""
    write(api, "bb", "new")
    for value in ("second", "third"):
        write(api, "d", value)
    for name in ("a", "c"):
        api.delete(f"{MAPS}/{name}")
    write(api, "c", "again")


def pages(api: Api, **query: str) -> list[dict[str, Any]]:
    """All pages of a list, with a disturbance after each."""
    found = [api.get(MAPS, **query).json()]
    while token := found[-1]["metadata"].get("continue"):
        disturb(api)
        found.append(api.get(MAPS, **query, **{"continue": token}).json())
    return found


def test_all_pages_show_the_state_that_the_first_one_showed(api: Api) -> None:
    found = pages(api, limit="2")
    assert [shown(part) for part in found] == [
        [("a", "first"), ("b", "first")],
        [("c", "first"), ("d", "first")],
        [("e", "first")],
    ]
    assert len({part["metadata"]["resourceVersion"] for part in found}) == 1
    assert [part["metadata"].get("remainingItemCount") for part in found] == [3, 1, None]
    assert [name for name, _ in shown(api.get(MAPS).json())] == ["b", "bb", "c", "d", "e"]


def test_pages_by_a_selector_do_too(api: Api) -> None:
    found = pages(api, limit="1", labelSelector="odd=true")
    assert [shown(part) for part in found] == [[("a", "first")], [("c", "first")], [("e", "first")]]
    assert not any("remainingItemCount" in part["metadata"] for part in found)


def test_a_past_state_can_be_asked_for(api: Api) -> None:
    before = api.get(MAPS).json()
    version = before["metadata"]["resourceVersion"]
    disturb(api)
    then = api.get(MAPS, resourceVersion=version, resourceVersionMatch="Exact").json()
    assert (then["items"], then["metadata"]["resourceVersion"]) == (before["items"], version)
    later = api.get(MAPS, resourceVersion=version, resourceVersionMatch="NotOlderThan").json()
    assert ("c", "again") in shown(later)


def test_a_page_of_a_forgotten_state_can_go_on_with_what_there_is(api: Api) -> None:
    told = told_by(api.get(MAPS, limit="2").json()["metadata"]["continue"])
    refused = api.get(MAPS, limit="2", **{"continue": token_of({**told, "rv": 1})})
    assert (refused.status_code, refused.json()["reason"]) == (410, "Expired")
    assert refused.json()["message"].startswith("The provided continue parameter is too old to display a consistent")
    disturb(api)
    rest = api.get(MAPS, **{"continue": refused.json()["metadata"]["continue"]}).json()
    assert shown(rest) == [("bb", "new"), ("c", "again"), ("d", "third"), ("e", "first")]


def told_by(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token + "=="))
    return found


def token_of(told: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")


OPTIONS = 'ListOptions.meta.k8s.io "" is invalid: '
#: What is asked -> status and message.
REFUSALS: dict[str, tuple[dict[str, str], int, str]] = {
    "a state that has not been yet": ({"resourceVersion": FAR}, 504, f"Timeout: Too large resource version: {FAR}, "),
    "a state that is forgotten": (
        {"resourceVersion": "1", "resourceVersionMatch": "Exact"},
        410,
        "The resourceVersion for the provided list is too old.",
    ),
    "no number": (
        {"resourceVersion": "x"},
        400,
        'invalid resource version: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax',
    ),
    "a limit that is none": ({"limit": "x"}, 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    "a token that is none": ({"continue": "zzz"}, 400, "invalid continue token: continue key is not valid: "),
    "a token without its place": (
        {"continue": token_of({"v": "meta.k8s.io/v1", "rv": 5})},
        400,
        "invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)",
    ),
    "a token and a state": (
        {"continue": token_of({"v": "meta.k8s.io/v1", "rv": 5, "start": "a\0"}), "resourceVersion": "5"},
        400,
        "specifying resource version is not allowed when using continue",
    ),
    "a match of nothing": (
        {"resourceVersionMatch": "Exact"},
        422,
        f"{OPTIONS}resourceVersionMatch: Forbidden: "
        "resourceVersionMatch is forbidden unless resourceVersion is provided",
    ),
    "initial events of a list": (
        {"sendInitialEvents": "true"},
        422,
        f"{OPTIONS}sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
    ),
    "initial events without a match": (
        {"watch": "true", "sendInitialEvents": "true"},
        422,
        f"{OPTIONS}resourceVersionMatch: Forbidden: "
        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
    ),
    "a match of a watch": (
        {"watch": "true", "resourceVersionMatch": "NotOlderThan"},
        422,
        f"{OPTIONS}resourceVersionMatch: Forbidden: "
        "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    ),
}


@pytest.mark.parametrize("sentence", REFUSALS)
def test_refusals(api: Api, sentence: str) -> None:
    query, code, message = REFUSALS[sentence]
    answer = api.get(MAPS, **query)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (code, "1" if code == 504 else None)
    assert answer.json()["message"].startswith(message)


def begun(api: Api, **query: str) -> list[tuple[str, str]]:
    """What a watch of a moment is told."""
    lines = api.get(MAPS, watch="true", timeoutSeconds="0.1", **query).text.splitlines()
    events = [json.loads(line) for line in lines]
    return [
        (event["type"], event["object"].get("message", event["object"]["metadata"].get("name"))) for event in events
    ]


def test_watches_begin_where_they_are_told_to(api: Api) -> None:
    every = [("ADDED", name) for name in "abcde"]
    unmarked = {key: value for key, value in INITIAL_EVENTS.items() if key != "allowWatchBookmarks"}
    assert begun(api) == every
    # Before its time is up it may be told once more how far it has come.
    assert begun(api, **INITIAL_EVENTS)[:6] == [*every, ("BOOKMARK", None)]
    assert begun(api, **unmarked) == every
    assert begun(api, **{**unmarked, "sendInitialEvents": "false"}) == []
    assert begun(api, resourceVersion=FAR) == []
    ((kind, said),) = begun(api, **INITIAL_EVENTS, resourceVersion=FAR)
    assert kind == "ERROR" and said.startswith("Timeout: Too large resource version")


def test_a_watch_that_outlives_the_server_is_told_that_its_place_is_gone(api: Api) -> None:
    version = api.get(MAPS).json()["metadata"]["resourceVersion"]
    with serving_in_thread() as url:
        later = Api(url)
        ((kind, said),) = begun(later, resourceVersion=version)
        later.close()
    assert kind == "ERROR" and said.startswith(f"too old resource version: {version} (")
