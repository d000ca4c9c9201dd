"""WARC files, such as Common Crawl's, to rows that bring their pages along: a re-crawl without a web. Called by
`formats`."""

from __future__ import annotations

import io
from collections.abc import Iterator

from warcio.archiveiterator import WARCIterator
from warcio.exceptions import ArchiveLoadFailed
from warcio.recordloader import ArcWarcRecord
from warcio.statusandheaders import StatusAndHeadersParserException

from reasoner_workloads.curation.recrawl.body import Undecodable
from reasoner_workloads.curation.recrawl.fetcher import kind_of
from reasoner_workloads.curation.recrawl.message import head_of
from reasoner_workloads.curation.source.columns import Capture, Malformed

#: Bytes of a record, in its codings; a larger one is no page.
LARGEST_RECORD = 16 << 20
_HTTP = "application/http"
HTML = ("text/html", "application/xhtml+xml")


def records_of(file: io.BufferedReader) -> Iterator[Capture | Malformed]:
    """The captured pages: responses of status 200 that hold HTML. Other records are no rows. Raises ArchiveLoadFailed
    where what follows a record is none."""
    records = iter(WARCIterator(_Whole(file), no_record_parse=True))
    while True:
        try:
            record = next(records, None)
        except (StatusAndHeadersParserException, UnicodeDecodeError) as error:
            raise ArchiveLoadFailed(str(error)) from error
        if record is None:
            return
        if record.rec_type == "response" and (found := _capture(record)) is not None:
            yield found


class _Whole:
    """A file whose compression the caller undoes, and whose damage is told: warcio would take it for the end."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._read = 0

    def read(self, size: int) -> bytes:
        try:
            found = self._file.read(size)
        except EOFError as error:
            raise ArchiveLoadFailed(str(error)) from error
        self._read += len(found)
        return found

    def tell(self) -> int:
        return self._read


def _capture(record: ArcWarcRecord) -> Capture | Malformed | None:
    # Crawlers also keep what DNS and FTP have answered.
    if not (record.rec_headers.get_header("Content-Type") or _HTTP).lower().startswith(_HTTP):
        return None
    raw = record.raw_stream.read(LARGEST_RECORD + 1)
    if len(raw) <= LARGEST_RECORD and record.length is not None and len(raw) < record.length:
        return Malformed(f"is a record of {len(raw)} bytes that should have {record.length}")
    try:
        head = head_of(raw)
    except Undecodable as error:
        return Malformed(f"holds {error}")
    if head.status != 200 or kind_of(head) not in HTML:
        return None
    if len(raw) > LARGEST_RECORD:
        return Malformed(f"is a record of more than {LARGEST_RECORD} bytes")
    name = record.rec_headers.get_header("WARC-Record-ID") or ""
    return Capture(raw, id=name.strip("<>"), url=record.rec_headers.get_header("WARC-Target-URI"))
