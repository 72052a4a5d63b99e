"""Send a submission whose turn has come: look at its media, write the call, hand over the body.

What the answer means for it, and for those behind it, is ``settling``'s.
"""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from time import monotonic
from typing import Final

from attrs import evolve

from symbl_aio._io.api import Accepted, Api, Full
from symbl_aio._io.reconcile import Doubts
from symbl_aio._io.transport import Body, once
from symbl_aio._io.work import Work
from symbl_aio._media import read
from symbl_aio._protocol import encode
from symbl_aio.config import Config
from symbl_aio.media import Media, Text
from symbl_aio.options import MediaOptions, Options, TextOptions
from symbl_aio.webhooks import webhook_url

try:
    import resource
except ImportError:  # on Windows, which has no such limit
    resource = None  # type: ignore[assignment]

_SHARE: Final = 4
"""One in so many of the handles of a process is an upload: it takes two, a file and a socket,
and half of them are left to all else."""


def most_uploads() -> int:
    """Return how many uploads may run at once, by the handles that this process may have."""
    if resource is None:
        return sys.maxsize
    handles, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if handles == resource.RLIM_INFINITY else max(1, handles // _SHARE)


class Sending:
    """Sends the submissions of one client, any number at a time."""

    def __init__(self, config: Config, api: Api, doubts: Doubts) -> None:
        self._config = config
        self._api = api
        self._doubts = doubts
        self.files = read.file_threads(config.timeouts.stall)

    async def send(
        self, work: Work, conversation_id: str | None
    ) -> tuple[Accepted | Full, float | None]:
        """Send a submission, to be added to ``conversation_id`` if that is given.

        Gives what the server answered, and the recording's seconds if known. Raises as
        ``Api.submit``, what is wrong with the media, and ``asyncio.CancelledError`` for one
        that was given up meanwhile.
        """
        prepared = await self._api.patiently(partial(read.prepare, work.media, self.files))
        call = encode.encode_submission(
            prepared.media,
            self._with_webhook(work, prepared.media),
            conversation_id,
            content_type=prepared.content_type,
        )
        if conversation_id is not None:
            # From its first byte on, and not only once accepted, it may be what is found there.
            self._doubts.written.add(conversation_id, work.key, work.text)
        moved = work.submission._report

        def body() -> Body:
            if work.ending is not None:  # given up, and then refused: there is no other attempt
                raise asyncio.CancelledError
            if prepared.size is None:
                data = call.body or b""
                work.body = Body(once(data), len(data), moved, work.confirm)
            else:
                chunks = read.chunks(prepared, self._config.chunk_size)
                work.body = Body(chunks, prepared.size, moved, work.confirm)
            return work.body

        work.sent_at = monotonic()
        one_shot = prepared.media.one_shot
        if one_shot:
            # Its first byte is its last chance: have everything else in hand before.
            await self._api.ready()
        return await self._api.submit(call, body, repeatable=not one_shot), prepared.duration

    def _with_webhook(self, work: Work, media: Media) -> Options | None:
        """Add the submission's own webhook URL, unless the caller has set one."""
        base_url, secret = self._config.webhook_base_url, self._config.webhook_secret
        if base_url is None or secret is None or work.nonce is None:
            return work.options
        options = work.options or (TextOptions() if isinstance(media, Text) else MediaOptions())
        if options.is_given("webhook_url"):
            return options
        return evolve(options, webhook_url=webhook_url(base_url, secret, work.nonce))
