"""The corpus on the web: every page at its path, as the sites it imitates would serve it. Run as
`python -m reasoner_local.web --host H --port P` by the embedded cluster's `web` service."""

from __future__ import annotations

import argparse
import html
import json
import logging
from collections.abc import Callable

from aiohttp import web

from reasoner_local.corpus import DISALLOWED, Entry, encode, load, rows

log = logging.getLogger(__name__)

PAGES = web.AppKey("pages", dict[str, Entry])
MOVED = web.AppKey("moved", dict[str, str])


def make_app() -> web.Application:
    """The web application; all its answers are made from the corpus at request time."""
    entries = load()
    app = web.Application()
    app[PAGES] = {entry.path: entry for entry in entries}
    app[MOVED] = {entry.moved_from: entry.path for entry in entries if entry.moved_from}
    app.add_routes(
        [
            web.get("/", _index),
            web.get("/subjects/{subject}", _subject),
            web.get("/robots.txt", _robots),
            web.get("/source.jsonl", _source),
            web.get("/{path:.*}", _page),
        ]
    )
    return app


async def _page(request: web.Request) -> web.Response:
    if target := request.app[MOVED].get(request.path):
        raise web.HTTPMovedPermanently(target)
    entry = request.app[PAGES].get(request.path)
    if entry is None:
        return _document(404, "Page not found", "<p>The page you were looking for is not here.</p>")
    if entry.status >= 400:
        return _document(entry.status, _TROUBLE[entry.status], "<p>Sorry about that. Try the search instead.</p>")
    charset = f"; charset={entry.charset}" if entry.charset_header else ""
    response = web.Response(body=encode(entry), headers={"Content-Type": f"text/html{charset}"})
    response.enable_compression()
    return response


_TROUBLE = {
    404: "Page not found",
    410: "This question was removed from the site by its author",
    500: "Our servers hit an unexpected error",
}


async def _index(request: web.Request) -> web.Response:
    counts: dict[str, int] = {}
    for entry in request.app[PAGES].values():
        counts[entry.subject] = counts.get(entry.subject, 0) + 1
    return _document(200, "Subjects", _links(counts, lambda name: f"/subjects/{name}", lambda n: f"{n} ({counts[n]})"))


async def _subject(request: web.Request) -> web.Response:
    subject = request.match_info["subject"]
    titles = {path: entry.title for path, entry in request.app[PAGES].items() if entry.subject == subject}
    if not titles:
        return _document(404, "No such subject", "")
    return _document(200, subject, _links(titles, lambda path: path, lambda path: titles[path]))


async def _robots(_: web.Request) -> web.Response:
    return web.Response(text=f"User-agent: *\nDisallow: {DISALLOWED}\nDisallow: /search\nAllow: /\n")


async def _source(request: web.Request) -> web.Response:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(str(request.url.origin())))
    return web.Response(text=lines, content_type="application/jsonl")


def _links(names: dict[str, int] | dict[str, str], url: Callable[[str], str], text: Callable[[str], str]) -> str:
    items = "".join(f'<li><a href="{html.escape(url(n))}">{html.escape(text(n))}</a></li>\n' for n in names)
    return f"<ul>\n{items}</ul>"


def _document(status: int, title: str, body: str) -> web.Response:
    text = f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title></head>'
    text += f"<body><h1>{html.escape(title)}</h1>{body}</body></html>\n"
    return web.Response(status=status, text=text, content_type="text/html")


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m reasoner_local.web", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    app = make_app()
    log.info("serving %d pages", len(app[PAGES]))
    web.run_app(app, host=arguments.host, port=arguments.port, print=log.info)


if __name__ == "__main__":
    main()
