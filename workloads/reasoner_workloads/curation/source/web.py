"""Files from a web server: what a folder's page links to, and downloads that go on where they broke off. Called by
`files`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit, urlunsplit

import httpx
from lxml import etree, html
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential

#: Bytes of a folder's page at most.
LARGEST_INDEX = 16 << 20

_again = retry(
    retry=retry_if_exception_type((httpx.TransportError, EOFError)),
    stop=stop_after_attempt(5),
    wait=wait_exponential(0.5, max=10),
    reraise=True,
)


class Unavailable(Exception):
    """The server does not answer as it should: perhaps later."""


class Refused(Exception):
    """The server will never give the file as things are."""


def names_of(uri: str) -> tuple[str, list[str]]:
    """What to put before each name, and the names of the files at an address; of one that ends in `/`, those that its
    page links to in the same folder or below, sorted."""
    if not uri.endswith("/"):
        return "", [uri]
    with _faults(uri):
        body = _page(uri)
    try:
        links = html.document_fromstring(body).iterfind(".//a[@href]")
        found = {urljoin(uri, link.get("href")) for link in links}
    except (etree.ParserError, ValueError):
        found = set()
    plain = {urlunsplit(urlsplit(link)._replace(query="", fragment="")) for link in found}
    return uri, sorted(link.removeprefix(uri) for link in plain if link.startswith(uri) and link != uri)


def download(uri: str, path: Path) -> Path:
    """The file at an address, whole: as long as the server says it is."""
    path.unlink(missing_ok=True)
    with _faults(uri):
        _Download(uri, path).run()
    return path


class _Download:
    """One file on its way. A later try asks for the bytes that are missing, of the same version."""

    def __init__(self, uri: str, path: Path) -> None:
        self.uri = uri
        self.path = path
        self.version: str | None = None

    @_again
    def run(self) -> None:
        have = self.path.stat().st_size if self.path.exists() and self.version else 0
        headers = {"Accept-Encoding": "identity"}
        if have and self.version:
            headers |= {"Range": f"bytes={have}-", "If-Range": self.version}
        with httpx.stream("GET", self.uri, headers=headers, follow_redirects=True, timeout=60) as response:
            if response.status_code == 416:
                self.version = None
                raise EOFError("the file changed while it was read")
            response.raise_for_status()
            goes_on = response.status_code == 206
            etag = response.headers.get("etag", "")
            # A weak tag does not promise the same bytes.
            self.version = etag if etag and not etag.startswith("W/") else None
            with self.path.open("ab" if goes_on else "wb") as file:
                for chunk in response.iter_raw():
                    file.write(chunk)
        length = response.headers.get("content-length")
        if length is not None and self.path.stat().st_size != int(length) + (have if goes_on else 0):
            raise EOFError(f"{self.path.stat().st_size} bytes came, not {length}")


@_again
def _page(uri: str) -> bytes:
    with httpx.stream("GET", uri, follow_redirects=True, timeout=60) as response:
        response.raise_for_status()
        body = b""
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > LARGEST_INDEX:
                raise Refused(f"{uri} is too large for a list of files")
    return body


@contextmanager
def _faults(uri: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        kind = Refused if status in (400, 401, 403, 404, 410, 451) else Unavailable
        raise kind(f"{uri} answers {status}") from error
    except (httpx.HTTPError, httpx.InvalidURL, EOFError) as error:
        raise Unavailable(f"{uri}: {error}") from error
