"""Pass a visitor's request body on to the API: streamed, whole or not at all, never stored.

The body is the recording itself, or a form (``multipart/form-data``) whose last part is
the recording. The API needs the length of a recording before its first byte, so it is
computed from the request: the ``Content-Length``, minus the bytes of a form around its file.
A recording of another length is aborted before its last byte, so that the API accepts
nothing of it; nothing is ever padded.

Back-pressure: the body is read as fast as the API reads it. One or two chunks are in memory,
for a recording of any size.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Final

from attrs import field, frozen

from symbl_aio import (
    Audio,
    BadUploadError,
    Job,
    MediaOptions,
    Submission,
    SymblClient,
    UploadStalledError,
    Video,
    recording_of,
)
from symbl_aio._callback_checks import is_own_cancellation
from symbl_aio.contrib.form_parser import SHAPE, Form, boundary_of

_HEAD_BYTES: Final = 4096
"""Bytes of a recording from which its format is detected."""

STALLED: Final = "the visitor sent no more of the body"


class RecordingStream:
    """The recording inside a visitor's body, which can be read once.

    ``is_read``: the upload has started to read it. ``is_waiting``: the next chunk of the
    visitor is awaited.
    """

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], size: int, form: Form | None = None
    ) -> None:
        self.size = size
        self.is_read = False
        self.is_waiting = False
        self._chunks = chunks
        self._form = form
        self._head = b"" if form is None else form.take()
        self._received = len(self._head)

    async def peek(self, stall: float | None) -> bytes:
        """Return the first bytes, each chunk within ``stall`` seconds; iteration repeats them."""
        self._check(whole=False)  # what came with the head of a form
        while len(self._head) < min(_HEAD_BYTES, self.size):
            self._head += await self._next(stall)
        return self._head

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        self.is_read = True
        try:
            head, self._head = self._head, b""
            yield head
            while data := await self._next():
                yield data
        finally:
            await self._chunks.aclose()

    async def aclose(self) -> None:
        """Stop reading from the visitor, unless the upload reads: then iteration closes it."""
        if not self.is_read:
            await self._chunks.aclose()

    async def _next(self, stall: float | None = None) -> bytes:
        """Return the next bytes of the recording, or ``b""`` at its end; raise at a wrong end."""
        data = b""
        while not data:
            self.is_waiting = True
            chunk = await next_chunk(self._chunks, stall)
            self.is_waiting = False
            if chunk is None:
                self._check(whole=True)
                return b""
            if self._form is None:
                data = chunk
            else:
                self._form.feed(chunk)
                data = self._form.take()
            self._received += len(data)
            self._check(whole=False)
        return data

    def _check(self, *, whole: bool) -> None:
        problem = None
        if self._received > self.size:
            problem = "is longer than"
        elif whole and (self._received < self.size or not (self._form is None or self._form.ended)):
            problem = f"ended after {self._received} of"
        if problem is not None:
            remedy = "" if self._form is None else f"; {SHAPE}"
            raise BadUploadError(
                400,
                f"the recording {problem} the {self.size} bytes that follow from Content-Length"
                + remedy,
            )


@frozen
class Incoming:
    """A visitor's recording of which only the first bytes were read.

    ``media`` can be submitted once; ``fields`` are those of the form before the file (of
    several with one name the last), ``filename`` is the file's name in the form.
    """

    media: Audio | Video
    """The visitor's recording, a stream that is read once."""
    fields: Mapping[str, str]
    """The other fields of the form, by name."""
    filename: str | None
    """The file's name, as the visitor gave it; not to be trusted."""
    _stream: RecordingStream = field(repr=False, alias="stream")

    async def pass_on(
        self,
        client: SymblClient,
        options: MediaOptions | None = None,
        *,
        to: str | Submission | Job | None = None,
        key: str | None = None,
    ) -> Job:
        """Submit the recording, and return the job once the API has accepted it.

        ``options`` and ``key`` are those of ``client.submit``; ``to`` is the conversation to
        append to, as for ``client.append``. Before it reads more from the visitor it waits for
        its lane, as long as the jobs of the appends before it take, and then for a job slot, at
        most ``Limits.wait_for_slot``: a service should set that, and time out appends itself.

        Raises ``BadUploadError`` if the body is not as announced, or the visitor left before
        its end; otherwise the errors of a submission. A stream can be read once, so the first
        refusal is raised and there is no retry. Nothing was accepted then, unless the error is
        ``AmbiguousSubmissionError``.

        Of two requests with one ``key`` the first is passed on, and both get its job. If its
        visitor leaves or stalls, the second one is.

        Cancelling withdraws the upload as long as the API certainly has not accepted it; after
        that the client still follows its job.
        """
        try:
            while True:
                if to is None:
                    submission = client.submit(self.media, options, key=key)
                else:
                    submission = client.append(to, self.media, options, key=key)
                try:
                    return await submission
                except (asyncio.CancelledError, BadUploadError, UploadStalledError) as error:
                    # With a key it may be the submission of another request, with its own body.
                    is_own = key is None or self._stream.is_read
                    is_cancelled = is_own_cancellation(error)
                    if is_own and is_cancelled:
                        submission.cancel()
                    if is_own or is_cancelled:
                        raise
                    # The other one ended with its visitor, so the key is free.
        except UploadStalledError:
            # The upload stalled because the visitor did.
            if self._stream.is_waiting:
                raise BadUploadError(408, STALLED) from None
            raise
        finally:
            await self._stream.aclose()


async def read_incoming(
    chunks: AsyncGenerator[bytes, None], headers: Mapping[str, str], *, stall: float | None = None
) -> Incoming:
    """Read a request body up to the first bytes of the recording in it.

    ``chunks`` ends with the body, and raises ``BadUploadError`` if the visitor leaves before
    its end; it is closed when it is no longer needed. ``headers`` has names in lower case.
    ``stall``: seconds without a byte after which the visitor counts as gone, as
    ``Timeouts.stall`` for the rest of the recording; None: no limit.

    Raises ``BadUploadError``: 408 for a visitor who stalls, 411 without a ``Content-Length``,
    413 for more than 64 KiB before the file, 415 for a compressed body, 400 for an empty or
    broken one. Raises ``MediaRejectedError`` for a recording in a format that the API does not
    take.
    """
    try:
        return await _read(chunks, headers, stall)
    except BaseException:
        await chunks.aclose()
        raise


async def _read(
    chunks: AsyncGenerator[bytes, None], headers: Mapping[str, str], stall: float | None
) -> Incoming:
    length = _content_length(headers)
    boundary = boundary_of(headers.get("content-type", ""))
    if boundary is None:
        stream = RecordingStream(chunks, length)
        return Incoming(await _media(stream, stall), {}, None, stream=stream)
    form = Form(boundary)
    while not form.at_file:
        chunk = None if form.ended else await next_chunk(chunks, stall)
        if chunk is None:
            raise BadUploadError(400, f"the form holds no file; {SHAPE}")
        form.feed(chunk)
    stream = RecordingStream(chunks, form.size_of_file(length), form)
    return Incoming(await _media(stream, stall), form.fields, form.filename, stream=stream)


def _content_length(headers: Mapping[str, str]) -> int:
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise BadUploadError(415, "the body has a Content-Encoding; send the recording as it is")
    text = headers.get("content-length", "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadUploadError(
            411,
            "the request has no Content-Length, without which no recording can be passed on; "
            "send its length, not chunks of unknown number",
        )
    return int(text)


async def _media(stream: RecordingStream, stall: float | None) -> Audio | Video:
    if not stream.size:
        raise BadUploadError(400, "the recording is empty")
    return recording_of(await stream.peek(stall), stream, size=stream.size)


async def next_chunk(chunks: AsyncGenerator[bytes, None], stall: float | None) -> bytes | None:
    """Return the next bytes of a body, or ``None`` at its end.

    Raises ``BadUploadError`` (408) after ``stall`` seconds without any.
    """
    try:
        async with asyncio.timeout(stall):
            return await anext(chunks, None)
    except TimeoutError:
        raise BadUploadError(408, STALLED) from None
