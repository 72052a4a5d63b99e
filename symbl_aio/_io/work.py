"""One submission while it is not settled: what was handed in, and how far it has come."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context

from attrs import define, field

from symbl_aio._io.transport import Body
from symbl_aio.job import Submission, labelled
from symbl_aio.media import Audio, Media, Recording, Text, Video
from symbl_aio.options import Options


@define(eq=False)
class Work:
    """A submission on its way.

    ``confirm`` is awaited before its last byte is handed over. ``size``: about how many
    bytes it will send, ``None`` until its file was looked at. ``nonce``: of its own webhook
    URL. ``context``: the caller's. ``task`` carries it, once it has its turn, and ``body``
    is that of the attempt under way. ``ending``: why it was told to end.
    """

    submission: Submission
    media: Media | Recording
    options: Options | None
    is_append: bool
    nonce: str | None
    confirm: Callable[[], Awaitable[None]] | None = None
    size: int | None = None
    context: Context = field(factory=copy_context)
    task: asyncio.Task[None] | None = None
    body: Body | None = None
    ending: BaseException | None = None
    sent_at: float = 0.0

    @property
    def key(self) -> str:
        return self.submission.key

    @property
    def source(self) -> str | None:
        """The name of what is submitted, for events."""
        return self.submission.source

    @property
    def label(self) -> str:
        """Key and source, for messages and log lines."""
        return labelled(self.key, self.source)

    @property
    def name(self) -> str | None:
        """The name of the conversation that it opens, if the caller gave one."""
        return None if self.is_append or self.options is None else self.options.name

    @property
    def text(self) -> str | None:
        """All that it says, if it is text."""
        media = self.media
        return " ".join(m.text for m in media.messages) if isinstance(media, Text) else None

    @property
    def path(self) -> str | os.PathLike[str] | None:
        """Its file, if it is one."""
        if isinstance(self.media, Recording):
            return self.media.path
        if isinstance(self.media, Audio | Video):
            source = self.media.source
            return source if isinstance(source, str | os.PathLike) else None
        return None

    def stop(self, ending: BaseException) -> bool:
        """End a started one; false, and nothing done, if the server may have it."""
        if self.task is None or (self.body is not None and not self.body.revoke()):
            return False
        # The first reason stays: whoever was told "withdrawn" is not told another.
        self.ending = self.ending or ending
        self.task.cancel()
        return True


def known_size(media: Media | Recording) -> int | None:
    """Give about how many bytes will be sent, as far as that is known without a disk."""
    if isinstance(media, Text):
        return sum(len(message.text) for message in media.messages)
    if isinstance(media, Audio | Video):
        return len(media.source) if isinstance(media.source, bytes) else media.size
    return None if isinstance(media, Recording) else 0
