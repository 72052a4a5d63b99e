"""The contents of an accepted submission, which its job processes."""

from __future__ import annotations

from datetime import datetime

from attrs import define, field

from symbl_aio.server.http_json import JSON
from symbl_aio.server.media.probe import MediaInfo
from symbl_aio.server.spooled_body import SpooledBody
from symbl_aio.server.submission_parameters import Kind


@define(eq=False)
class SubmissionPayload:
    """The parameters of an accepted submission, and its body of bytes or JSON.

    ``started_at``: when its messages began, known until a conversation is opened for it.
    """

    kind: Kind
    parameters: dict[str, JSON] = field(repr=False)
    body: SpooledBody | None = None
    media_info: MediaInfo | None = None
    started_at: datetime | None = None

    @property
    def url(self) -> str | None:
        url = self.parameters.get("url")
        return url if isinstance(url, str) and self.kind.endswith("/url") else None

    def close(self) -> None:
        """Remove the body's file. Closing twice is safe."""
        if self.body is not None:
            self.body.close()

    def __str__(self) -> str:
        if self.media_info is not None and self.media_info.duration is not None:
            return f"{self.media_info.duration:.1f} s of {self.media_info.container}"
        form = self.media_info.container if self.media_info else self.kind.partition("/")[0]
        return form if self.body is None else f"{self.body.size} bytes of {form}"
