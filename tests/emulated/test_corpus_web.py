"""The corpus's web server, over real HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from urllib.robotparser import RobotFileParser

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer

from reasoner_local.corpus import encode, expected, load, rows
from reasoner_local.web import make_app

ENTRIES = load()


@pytest.fixture
async def client() -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(make_app())) as client:
        yield client


async def test_every_page_comes_with_its_status_charset_and_bytes(client: TestClient) -> None:
    for entry in ENTRIES:
        async with client.get(entry.path) as response:
            assert response.status == entry.status, entry.id
            assert response.content_type == "text/html"
            if entry.status == 200:
                assert response.charset == (entry.charset if entry.charset_header else None)
                assert await response.read() == encode(entry), entry.id
            else:
                assert entry.answers[0].body not in await response.text()


async def test_pages_are_compressed_for_those_who_accept_it(client: TestClient) -> None:
    async with client.get(ENTRIES[0].path, headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
    async with client.get(ENTRIES[0].path, headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers


async def test_old_addresses_redirect_to_the_canonical_ones(client: TestClient) -> None:
    moved = [entry for entry in ENTRIES if entry.moved_from]
    assert len(moved) >= 2
    for entry in moved:
        async with client.get(entry.listed_path, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (301, entry.path)
        async with client.get(entry.listed_path) as response:
            assert response.url.path == entry.path
            assert await response.read() == encode(entry)


async def test_robots_txt_closes_exactly_the_pages_that_the_funnel_says(client: TestClient) -> None:
    async with client.get("/robots.txt") as response:
        assert (response.status, response.content_type) == (200, "text/plain")
        robots = RobotFileParser()
        robots.parse((await response.text()).splitlines())
    closed = {entry.listed_path for entry in ENTRIES if not robots.can_fetch("reasoner-curation", entry.listed_path)}
    assert closed == {path for path, outcome in expected().pages.items() if outcome.reason == "robots"}


async def test_the_listing_names_this_server(client: TestClient) -> None:
    async with client.get("/source.jsonl") as response:
        listing = [json.loads(line) for line in (await response.text()).splitlines()]
    assert listing == rows(str(client.make_url("/")))
    assert {row["url"].removeprefix(str(client.make_url("")).rstrip("/")) for row in listing} == set(expected().pages)


async def test_the_index_leads_to_every_page(client: TestClient) -> None:
    async with client.get("/") as response:
        index = await response.text()
    for subject in {entry.subject for entry in ENTRIES}:
        assert f'href="/subjects/{subject}"' in index
        async with client.get(f"/subjects/{subject}") as response:
            links = await response.text()
        assert [e.id for e in ENTRIES if e.subject == subject and f'href="{e.path}"' not in links] == []


@pytest.mark.parametrize("path", ["/nowhere", "/subjects/alchemy", "/maths-exchange/questions/1001", "/source"])
async def test_what_is_not_there_is_not_found(client: TestClient, path: str) -> None:
    async with client.get(path) as response:
        assert response.status == 404


async def test_it_runs_as_a_program_and_stops_on_sigterm() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = (sys.executable, "-m", "reasoner_local.web", "--host", "127.0.0.1", "--port", str(port))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, env=dict(os.environ))
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while b"Running on" not in (line := await process.stderr.readline()):
                assert line, "the server ended before it listened"
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}/robots.txt") as response:
            assert response.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0
