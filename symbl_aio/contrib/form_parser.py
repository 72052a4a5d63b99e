"""An incremental parser for a form whose last part is a file. No I/O.

Chunks of the body are fed in, and the bytes of the file are taken out. The parts before the
file are kept as fields; of the file only the bytes that were not taken yet are kept.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from symbl_aio import BadUploadError
from symbl_aio._charsets import known_charset

MAX_BEFORE_FILE: Final = 64 * 1024
"""Bytes of a form before its file, at most: a preamble, fields, and their headers."""

_MAX_BOUNDARY: Final = 70  # RFC 2046, 5.1.1

_ENCODED_NAME: Final = re.compile(
    rb""";\s*filename\*\s*=\s*"?(?:([\w-]*)'[^']*'([^;"\s]*))?""", re.IGNORECASE
)
"""``filename*=UTF-8''na%C3%AFve.mp4``, which is not meant for forms, and sent in some."""

SHAPE: Final = "a form must end with its file, the closing delimiter and a line break"


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary of a form, or ``None`` for a body that is not multipart.

    Raises ``BadUploadError`` for a form without one, and for other multipart types.
    """
    try:
        kind, options = parse_options_header(content_type)
    except UnicodeEncodeError:
        raise BadUploadError(400, "the Content-Type has characters beyond Latin-1") from None
    kind = kind.lower()
    if not kind.startswith(b"multipart/"):
        return None
    if kind != b"multipart/form-data":
        raise BadUploadError(415, "the body is multipart, but no form; send multipart/form-data")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= _MAX_BOUNDARY:
        raise BadUploadError(
            400, f"the boundary of the form has not 1 to {_MAX_BOUNDARY} characters"
        )
    return boundary


class Form:
    """One form whose file is its last part.

    ``fields`` are those before the file, ``filename`` is the file's. ``at_file``: the file's
    headers were parsed, and its first byte is next. ``ended``: the closing delimiter was parsed.
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
        # A delimiter begins with a line break; this one is for a body that begins with it.
        self._preamble: bytes | None = b"\r\n"
        self._header = self._value = b""
        self._disposition: dict[bytes, bytes] = {}
        self._charset = b"utf-8"
        self._data: list[bytes] = []

    def size_of_file(self, length: int) -> int:
        """Return the size of the file in a body of ``length`` bytes, once ``at_file``."""
        size = length - self._before - len(b"\r\n" + self._delimiter + b"--\r\n")
        if size < 0:
            raise BadUploadError(400, f"the form is longer than its Content-Length; {SHAPE}")
        return size

    def take(self) -> bytes:
        """Return the bytes of the file that were parsed since the last call."""
        data, self._data = self._data, []
        return b"".join(data)

    def feed(self, chunk: bytes) -> None:
        """Parse the next bytes of the body. Raises ``BadUploadError`` if they are no form."""
        if self._preamble is not None:
            chunk = self._skip_preamble(self._preamble + chunk)
        at = 0
        # Line by line up to the file, to find the offset of its first byte.
        while not self.at_file and at < len(chunk):
            end = chunk.find(b"\n", at) + 1 or len(chunk)
            self._count_before_file(end - at)
            self._write(chunk[at:end])
            at = end
        if at < len(chunk):
            self._write(chunk[at:] if at else chunk)

    def _skip_preamble(self, seen: bytes) -> bytes:
        found = seen.find(b"\r\n" + self._delimiter)
        if found < 0:
            self._preamble = seen
            self._check_before(len(seen))
            return b""
        self._preamble = None
        # The line break before the delimiter counts, the added one does not.
        self._count_before_file(found)
        return seen[found + 2 :]

    def _count_before_file(self, size: int) -> None:
        self._before += size
        self._check_before(self._before)

    def _check_before(self, size: int) -> None:
        if size > MAX_BEFORE_FILE:
            raise BadUploadError(
                413,
                f"the form has over {MAX_BEFORE_FILE} bytes before its file, "
                "which is the part with a filename",
            )

    def _write(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError:
            raise BadUploadError(400, f"the form cannot be read; {SHAPE}") from None

    # Callbacks of the parser.

    def _part_begin(self) -> None:
        if self.at_file:
            raise BadUploadError(400, "the form has a part after its file; send the file last")
        self._disposition, self._charset = {}, b"utf-8"

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        header = self._header.lower()
        if header == b"content-disposition":
            encoded = _ENCODED_NAME.search(self._value)
            _, found = parse_options_header(_ENCODED_NAME.sub(b"", self._value))
            if encoded is not None:
                found.setdefault(b"filename", _percent_decoded(*encoded.groups(b"")))
            self._disposition = found
        elif header == b"content-type":
            _, options = parse_options_header(self._value)
            self._charset = options.get(b"charset", b"utf-8")
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        if (name := self._disposition.get(b"filename")) is not None:
            self.at_file = True
            self.filename = _filename(name) or None

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _part_end(self) -> None:
        if not self.at_file:
            name = self._disposition.get(b"name")
            if name is None:
                raise BadUploadError(400, "the form has a part without a name")
            self.fields[_text(name)] = _text(self.take(), self._charset)

    def _end(self) -> None:
        self.ended = True


def _text(data: bytes, charset: bytes = b"utf-8") -> str:
    try:
        if (known := known_charset(charset.decode("latin-1"))) is not None:
            return data.decode(known)
    except UnicodeDecodeError:
        pass
    named = ascii(charset[:40].decode("latin-1"))
    raise BadUploadError(
        400, f"the form has a field that is not in its charset, {named}; send UTF-8"
    )


def _filename(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")  # a name is not worth a refusal


def _percent_decoded(charset: bytes, text: bytes) -> bytes:
    known = known_charset(charset.decode("latin-1")) or "utf-8"
    return unquote(text.decode("latin-1"), known, errors="replace").encode()
