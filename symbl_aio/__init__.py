"""An asyncio client, with a job-tracking engine, for the Symbl.ai conversation APIs.

::

    async with SymblClient() as symbl:
        job = await symbl.submit("standup.mp4")
        conversation = await job
        for message in await conversation.messages():
            print(message.sender.name, message.text)
"""

from symbl_aio._io.engine import Stats
from symbl_aio.bulk import Outcome
from symbl_aio.client import SymblClient
from symbl_aio.config import (
    AccessToken,
    Config,
    Credentials,
    Lanes,
    Limits,
    Polls,
    Retries,
    Timeouts,
)
from symbl_aio.conversations import Conversation
from symbl_aio.errors import (
    AmbiguousSubmissionError,
    APIError,
    AppendBlockedError,
    AuthenticationError,
    BadRequestError,
    ClientClosedError,
    ConcurrencyLimitError,
    ConfigurationError,
    DecodeError,
    FileChangedError,
    JobError,
    JobFailedError,
    JobLostError,
    JobTimeoutError,
    MediaRejectedError,
    NotFoundError,
    PermissionDeniedError,
    QueueFullError,
    ServerError,
    StillAmbiguousError,
    SymblError,
    TransportError,
    UploadError,
    UploadStalledError,
)
from symbl_aio.job import Acceptance, Job, JobEvent, Submission, UploadProgress
from symbl_aio.media import Audio, AudioURL, Text, Utterance, Video, VideoURL
from symbl_aio.models import (
    ActionItem,
    FollowUp,
    JobStatus,
    Message,
    Page,
    Question,
    Topic,
)
from symbl_aio.options import (
    ChannelMetadata,
    CustomEntity,
    MediaOptions,
    Speaker,
    TextOptions,
    Tracker,
    TrackerRef,
)

__all__ = [
    "APIError",
    "Acceptance",
    "AccessToken",
    "ActionItem",
    "AmbiguousSubmissionError",
    "AppendBlockedError",
    "Audio",
    "AudioURL",
    "AuthenticationError",
    "BadRequestError",
    "ChannelMetadata",
    "ClientClosedError",
    "ConcurrencyLimitError",
    "Config",
    "ConfigurationError",
    "Conversation",
    "Credentials",
    "CustomEntity",
    "DecodeError",
    "FileChangedError",
    "FollowUp",
    "Job",
    "JobError",
    "JobEvent",
    "JobFailedError",
    "JobLostError",
    "JobStatus",
    "JobTimeoutError",
    "Lanes",
    "Limits",
    "MediaOptions",
    "MediaRejectedError",
    "Message",
    "NotFoundError",
    "Outcome",
    "Page",
    "PermissionDeniedError",
    "Polls",
    "Question",
    "QueueFullError",
    "Retries",
    "ServerError",
    "Speaker",
    "Stats",
    "StillAmbiguousError",
    "Submission",
    "SymblClient",
    "SymblError",
    "Text",
    "TextOptions",
    "Timeouts",
    "Topic",
    "Tracker",
    "TrackerRef",
    "TransportError",
    "UploadError",
    "UploadProgress",
    "UploadStalledError",
    "Utterance",
    "Video",
    "VideoURL",
]
