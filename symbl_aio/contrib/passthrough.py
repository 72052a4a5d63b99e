"""Pass a visitor's request body on to the API: streamed, whole or not at all, never stored.

The body is the recording itself, or a form (``multipart/form-data``) whose last part is
the recording. The API wants to know the length of a recording before its first byte, so it
has to follow from the request: it is the ``Content-Length``, less what a form has around
its file. What turns out to be of another length is aborted before its last byte, so that
the API accepts nothing of it; nothing is ever padded.

Bytes are taken from the visitor as fast as the API takes them. A chunk or two are in
memory, whatever the size of the recording.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Final

from attrs import field, frozen

from symbl_aio import (
    Audio,
    Job,
    MediaOptions,
    Submission,
    SymblClient,
    UploadError,
    UploadStalledError,
    Video,
    recording_of,
)
from symbl_aio.contrib.multipart import SHAPE, Form, boundary_of
from symbl_aio.contrib.problems import BadUploadError

_HEAD_BYTES: Final = 4096
"""How much of a recording is looked at to tell what it is."""


class Feed:
    """The recording inside a visitor's body, which can be read once.

    ``reads``: whoever sends it on has begun to read. ``waits``: the visitor was asked for
    more, and has not given it yet.
    """

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], size: int, form: Form | None = None
    ) -> None:
        self.size = size
        self.reads = False
        self.waits = False
        self._chunks = chunks
        self._form = form
        self._head = b"" if form is None else form.take()
        self._got = len(self._head)

    async def look(self) -> bytes:
        """Give the first bytes, and keep them for the reading."""
        while len(self._head) < min(_HEAD_BYTES, self.size):
            self._head += await self._next()
        return self._head

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        self.reads = True
        try:
            head, self._head = self._head, b""
            yield head
            while data := await self._next():
                yield data
        finally:
            await self._chunks.aclose()

    async def aclose(self) -> None:
        """Take nothing more from the visitor, unless somebody reads, who then closes it."""
        if not self.reads:
            await self._chunks.aclose()

    async def _next(self) -> bytes:
        """Give the next bytes of the recording; none at an end that is where it should be."""
        data = b""
        while not data:
            self.waits = True
            chunk = await anext(self._chunks, None)
            self.waits = False
            if chunk is None:
                self._check(whole=True)
                return b""
            if self._form is None:
                data = chunk
            else:
                self._form.feed(chunk)
                data = self._form.take()
            self._got += len(data)
            self._check(whole=False)
        return data

    def _check(self, *, whole: bool) -> None:
        found = None
        if self._got > self.size:
            found = "is longer than"
        elif whole and (self._got < self.size or not (self._form is None or self._form.ended)):
            found = f"ended after {self._got} of"
        if found is not None:
            remedy = "" if self._form is None else f"; {SHAPE}"
            raise BadUploadError(
                400,
                f"the recording {found} the {self.size} bytes that follow from Content-Length"
                + remedy,
            )


@frozen
class Incoming:
    """A visitor's recording on its way in, of which no more than the beginning was read.

    ``media`` can be submitted once; ``fields`` are those of the form that stood before the
    file (of several with one name the last), ``filename`` is what the form calls the file.
    """

    media: Audio | Video
    """The visitor's recording, a stream that is read once."""
    fields: Mapping[str, str]
    """The other fields of the form, by name."""
    filename: str | None
    """The file's name, as the visitor gave it; not to be trusted."""
    _feed: Feed = field(repr=False, alias="feed")

    async def pass_on(
        self,
        client: SymblClient,
        options: MediaOptions | None = None,
        *,
        to: str | Submission | Job | None = None,
        key: str | None = None,
    ) -> Job:
        """Send it on, and give the job once the API has accepted it.

        ``options`` and ``key`` are those of ``client.submit``; ``to`` is the conversation to
        append to, as for ``client.append``. Before more is taken from the visitor it waits
        for its turn and a job slot, at most ``Limits.wait_for_slot``: a service should set it.

        Raises ``BadUploadError`` if the body is not as announced, or the visitor left before
        its end; else what a submission raises. A stream can be read once, so the first
        refusal is raised and nothing is tried again. Nothing was accepted then, but for an
        ``AmbiguousSubmissionError``, where nobody knows.

        Cancelling it withdraws the upload as long as surely nothing was accepted; after that
        the client follows its job all the same.
        """
        try:
            if to is None:
                submission = client.submit(self.media, options, key=key)
            else:
                submission = client.append(to, self.media, options, key=key)
            try:
                return await submission
            except asyncio.CancelledError:
                # With a key it may be another request's submission, which has its own body.
                if key is None or self._feed.reads:
                    submission.cancel()
                raise
        except UploadStalledError:
            if self._feed.waits:
                raise BadUploadError(408, "the visitor sent no more of the recording") from None
            raise
        except UploadError as error:
            if isinstance(error.__cause__, BadUploadError):
                raise error.__cause__ from None
            raise
        finally:
            await self._feed.aclose()


async def read_incoming(
    chunks: AsyncGenerator[bytes, None], headers: Mapping[str, str]
) -> Incoming:
    """Read a request body up to the first bytes of the recording in it.

    ``chunks`` ends with the body, and raises ``BadUploadError`` if the visitor leaves before
    that; it is closed when it is no longer needed. ``headers`` finds names in lower case.

    Raises ``BadUploadError``: 411 without a ``Content-Length``, 413 for more than 64 KiB
    before the file, 415 for a compressed body, 400 for an empty or broken one. Raises
    ``MediaRejectedError`` for what is no recording that the API takes.
    """
    try:
        return await _read(chunks, headers)
    except BaseException:
        await chunks.aclose()
        raise


async def _read(chunks: AsyncGenerator[bytes, None], headers: Mapping[str, str]) -> Incoming:
    length = _length(headers)
    boundary = boundary_of(headers.get("content-type", ""))
    if boundary is None:
        feed = Feed(chunks, length)
        return Incoming(await _media(feed), {}, None, feed=feed)
    form = Form(boundary)
    while not form.at_file:
        chunk = None if form.ended else await anext(chunks, None)
        if chunk is None:
            raise BadUploadError(400, f"the form holds no file; {SHAPE}")
        form.feed(chunk)
    feed = Feed(chunks, form.size_of_file(length), form)
    return Incoming(await _media(feed), form.fields, form.filename, feed=feed)


def _length(headers: Mapping[str, str]) -> int:
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


async def _media(feed: Feed) -> Audio | Video:
    if not feed.size:
        raise BadUploadError(400, "the recording is empty")
    return recording_of(await feed.look(), feed, size=feed.size)
