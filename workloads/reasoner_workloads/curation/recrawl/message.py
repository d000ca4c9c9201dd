"""An HTTP response as a WARC file keeps it: head and body, as they came over the wire. Used by the WARC source and, for
its pages, by `fetcher`."""

from __future__ import annotations

import io

from warcio.bufferedreaders import ChunkedDataException, ChunkedDataReader
from warcio.statusandheaders import StatusAndHeadersParser, StatusAndHeadersParserException

from reasoner_workloads.curation.charset import header_value
from reasoner_workloads.curation.records import Dropped
from reasoner_workloads.curation.recrawl.body import Body, TooLarge, Undecodable
from reasoner_workloads.curation.recrawl.client import Answer

_parser = StatusAndHeadersParser(["HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/2"], verify=True)


def head_of(response: bytes) -> Answer:
    """Status and headers, and the body still in its codings. Raises Undecodable where there is no head."""
    stream = io.BytesIO(response)
    try:
        found = _parser.parse(stream)
        status = int(found.get_statuscode())
    except (StatusAndHeadersParserException, EOFError, ValueError) as error:
        raise Undecodable(f"no HTTP response: {error}"[:200]) from error
    headers = {name.lower(): header_value(str(value)) for name, value in reversed(found.headers)}
    return Answer(status, headers, stream.read())


def answer_of(response: bytes, limit: int) -> Answer:
    """The response with its body decoded, of `limit` bytes at most. Raises Dropped with `http_error`."""
    try:
        found = head_of(response)
        # Common Crawl keeps bodies decoded and names the codings otherwise.
        body = Body(found.headers.get("content-encoding", ""), limit)
        body.feed(_joined(found))
        return Answer(found.status, found.headers, body.whole())
    except TooLarge:
        raise Dropped("http_error", f"larger than {limit} bytes") from None
    except Undecodable as error:
        raise Dropped("http_error", str(error)) from error


def _joined(found: Answer) -> bytes:
    """The body without its chunks' frames; some writers have taken those out and left the header."""
    if found.headers.get("transfer-encoding", "").lower() != "chunked":
        return found.body
    try:
        return bytes(ChunkedDataReader(io.BytesIO(found.body)).read())
    except ChunkedDataException as error:
        raise Undecodable(f"chunks: {error}"[:200]) from error
