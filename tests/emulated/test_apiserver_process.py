"""The API server as a program, its watches as tables, and what a write costs when there is much already."""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import httpx

from reasoner_local.apiserver.objects import labels_of
from reasoner_local.apiserver.selectors import required_labels
from reasoner_local.apiserver.store import Store
from support.apiserver import Api, serving, serving_in_thread
from support.calls import counted

MAPS = "/api/v1/namespaces/default/configmaps"


def test_the_program_prints_its_url_and_ends_on_sigterm(root: Path) -> None:
    paths = os.pathsep.join(str(root / name) for name in ("operator", "crds"))
    command = [sys.executable, "-m", "reasoner_local.apiserver", "--port", "0"]
    program = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}, cwd=root
    )
    with program:
        assert program.stdout is not None
        url = program.stdout.readline().strip()
        assert httpx.get(f"{url}/healthz").text == "ok"
        assert httpx.get(f"{url}/version").json()["major"] == "1"
        with httpx.stream("GET", f"{url}/api/v1/namespaces", params={"watch": "true"}):
            # A watch that is under way does not hold the end up.
            program.send_signal(signal.SIGTERM)
            assert program.wait(10) == 0


def test_a_watch_can_be_of_tables() -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    with serving_in_thread() as url:
        api = Api(url)
        api.post(MAPS, {"metadata": {"name": "a"}, "data": {"x": "1", "y": "2"}})
        lines = api.accept(MAPS, accept, watch="true", timeoutSeconds="0.1").text.splitlines()
        api.close()
    events = [json.loads(line) for line in lines]
    assert [(event["type"], event["object"]["kind"]) for event in events] == [("ADDED", "Table")]
    assert events[0]["object"]["rows"][0]["cells"][:2] == ["a", 2]


async def test_a_write_costs_the_same_among_many_objects() -> None:
    """In calls of this thread, which holds client and server; medians, as its timers go on beside."""
    async with serving() as (_, url), httpx.AsyncClient(base_url=url) as http:
        costs = []
        for number in range(2000):
            with counted() as calls:
                await http.post(MAPS, json={"metadata": {"name": f"m{number}"}})
            costs.append(calls.made)
    assert statistics.median(costs[-300:]) < 1.1 * statistics.median(costs[100:400])


def test_lists_by_label_find_what_a_look_at_every_object_finds() -> None:
    chance, store, key = random.Random(3), Store(), ("", "pods")
    for _ in range(400):
        name = f"p{chance.randrange(30)}"
        held = store.get(key, ("default", name))
        labels = {label: chance.choice("ab") for label in ("x", "y") if chance.random() < 0.7}
        meta = {"namespace": "default", "name": name, "uid": name, **({"labels": labels} if labels else {})}
        if held is not None and chance.random() < 0.3:
            store.remove(key, held)
        else:
            store.put(key, {"metadata": meta})
        for wanted in ([("x", "a")], [("y", "b"), ("x", "b")], [("z", "a")]):
            found = [obj for obj in store.labelled(key, wanted) if set(wanted) <= set(labels_of(obj).items())]
            assert found == [obj for obj in store.all(key) if set(wanted) <= set(labels_of(obj).items())]
    assert required_labels("x=a,y==b,z!=c,w in (a,b),v,!u") == [("x", "a"), ("y", "b")]


def test_a_watch_can_be_of_metadata_alone() -> None:
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    with serving_in_thread() as url:
        api = Api(url)
        api.post(MAPS, {"metadata": {"name": "a"}, "data": {"x": "1"}})
        (line,) = api.accept(MAPS, accept, watch="true", timeoutSeconds="0.1").text.splitlines()
        api.close()
    told = json.loads(line)["object"]
    assert (told["kind"], told["metadata"]["name"], "data" in told) == ("PartialObjectMetadata", "a", False)
