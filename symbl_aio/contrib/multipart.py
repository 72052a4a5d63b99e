"""Read a form up to its file, then the file's bytes out of the form. No I/O.

Bytes are pushed in as they come and taken out again. What stands before the file is kept as
fields; of the file nothing is kept but what was not taken yet.
"""

from __future__ import annotations

from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from symbl_aio.contrib.problems import BadUploadError

MOST_BEFORE: Final = 64 * 1024
"""Bytes that a form may have before its file: a preamble, fields, and their headers."""

_LONGEST_BOUNDARY: Final = 70  # RFC 2046, 5.1.1

SHAPE: Final = "a form must end with its file, the closing delimiter and a line break"


def boundary_of(content_type: str) -> bytes | None:
    """Give the boundary of a form, ``None`` for a body that is no form.

    Raises ``BadUploadError`` for a form without one, and for other multipart types.
    """
    kind, options = parse_options_header(content_type)
    kind = kind.lower()
    if not kind.startswith(b"multipart/"):
        return None
    if kind != b"multipart/form-data":
        raise BadUploadError(415, "the body is multipart, but no form; send multipart/form-data")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise BadUploadError(
            400, f"the boundary of the form has not 1 to {_LONGEST_BOUNDARY} characters"
        )
    return boundary


class Form:
    """One form whose file is its last part.

    ``fields`` are those before the file, ``filename`` is the file's. ``at_file``: its
    headers were read, and the next byte is its own. ``ended``: the closing delimiter was.
    """

    def __init__(self, boundary: bytes) -> None:
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._part_data,
                "on_part_end": self._part_end,
                "on_end": self._end,
            },
        )
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.at_file = False
        self.ended = False
        self._delimiter = b"--" + boundary
        self._before = 0
        # As if a line break stood before the body: the delimiter may be the first thing in it.
        self._preamble: bytes | None = b"\r\n"
        self._header = self._value = b""
        self._disposition: dict[bytes, bytes] = {}
        self._data: list[bytes] = []

    def size_of_file(self, length: int) -> int:
        """Give the bytes of the file in a body of ``length`` bytes, once at the file."""
        size = length - self._before - len(b"\r\n" + self._delimiter + b"--\r\n")
        if size < 0:
            raise BadUploadError(400, f"the form is longer than its Content-Length; {SHAPE}")
        return size

    def take(self) -> bytes:
        """Give the bytes of the file that came since the last time."""
        data, self._data = self._data, []
        return data[0] if len(data) == 1 else b"".join(data)

    def feed(self, chunk: bytes) -> None:
        """Take in the next bytes of the body. Raises ``BadUploadError`` for what is no form."""
        if self._preamble is not None:
            chunk = self._behind_preamble(self._preamble + chunk)
        at = 0
        # Line by line up to the file, so that it is known where its first byte is.
        while not self.at_file and at < len(chunk):
            end = chunk.find(b"\n", at) + 1 or len(chunk)
            self._count(end - at)
            self._write(chunk[at:end])
            at = end
        if at < len(chunk):
            self._write(chunk[at:] if at else chunk)

    def _behind_preamble(self, seen: bytes) -> bytes:
        found = seen.find(b"\r\n" + self._delimiter)
        if found < 0:
            self._preamble = seen
            self._check_before(len(seen))
            return b""
        self._preamble = None
        self._count(found)  # with the line break before the delimiter, without that of ours
        return seen[found + 2 :]

    def _count(self, size: int) -> None:
        self._before += size
        self._check_before(self._before)

    def _check_before(self, size: int) -> None:
        if size > MOST_BEFORE:
            raise BadUploadError(413, f"the form has over {MOST_BEFORE} bytes before its file")

    def _write(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError:
            raise BadUploadError(400, f"the form cannot be read; {SHAPE}") from None

    # Called by the parser.

    def _part_begin(self) -> None:
        if self.at_file:
            raise BadUploadError(400, "the form has a part after its file; send the file last")
        self._disposition = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            _, self._disposition = parse_options_header(self._value)
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        if (name := self._disposition.get(b"filename")) is not None:
            self.at_file = True
            self.filename = _text(name) or None

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _part_end(self) -> None:
        if not self.at_file:
            name = self._disposition.get(b"name")
            if name is None:
                raise BadUploadError(400, "the form has a part without a name")
            self.fields[_text(name)] = _text(self.take())

    def _end(self) -> None:
        self.ended = True


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadUploadError(400, "the form has a field that is not UTF-8") from None
