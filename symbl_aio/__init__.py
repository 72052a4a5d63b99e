"""An asyncio client, with a job-tracking engine, for the Symbl.ai conversation APIs.

::

    async with SymblClient() as symbl:
        job = await symbl.submit("standup.mp4")
        conversation = await job
        for message in await conversation.messages():
            print(message.sender.name, message.text)
"""

from typing import TYPE_CHECKING

from symbl_aio._lazy import export_on_first_use as _export_on_first_use
from symbl_aio._version import __version__ as __version__

# Each name is imported on first use: a program needs few of them, and attrs takes half a
# millisecond to make a class. Each module lists its part once more, in its ``__all__``.
_HOMES = {
    "_error_classes": (
        "APIError AppendBlockedError AuthenticationError BadRequestError BadUploadError "
        "ConcurrencyLimitError ConfigurationError DecodeError EarlyReadWarning FileChangedError "
        "FileUnavailableError MediaRejectedError NotFoundError OutboxUnavailableError "
        "PermissionDeniedError QueueFullError ServerError StillAmbiguousError StreamError "
        "StreamLostError StreamRefusedError StreamTimeoutError SymblError TransportError "
        "UntrustedServerError UploadError UploadStalledError"
    ),
    "_media.inspect": "recording_of",
    "bookmarks": "Bookmarks",
    "bulk": "Completed Failed Outcome",
    "client": "SymblClient",
    "config": "AccessToken Config Credentials CredentialsLike Lanes Limits Polls Retries Timeouts",
    "conversations": "Conversation",
    "drafts": (
        "BookmarkDraft Colors EntityDraft GroupDraft Patch SpeakerEvent TrackerDraft criteria"
    ),
    "events": (
        "Drain Event ItemEnded JobEnded JobEvent JobStatusChanged Observer PollFailed Stats "
        "SubmissionAccepted SubmissionEnded SubmissionQueued SubmissionRefused SubmissionStarted "
        "UploadProgress"
    ),
    "everything": "Everything InsightPart",
    "job": (
        "Acceptance AmbiguousSubmissionError ClientClosedError Job JobError JobFailedError "
        "JobLostError JobTimeoutError Submission"
    ),
    "live": (
        "Call CallEnded EntityEvent ErrorEvent FileStream Gap InsightEvent LiveEvent MessageEvent "
        "Missed Pstn Recognition Redaction Sip SpokenWord StateEvent Stream StreamSettings "
        "Subscription SummaryEmail SummaryLink Telephony TopicEvent TrackerEvent UnknownEvent"
    ),
    "management": "Entities Groups Settings Trackers",
    "media": "Audio AudioURL Text Utterance Video VideoURL",
    "models": (
        "AbstractTopic ActionItem Analytics Bookmark BookmarkSummary CallScore "
        "ComprehensiveActionItem ConversationGroup ConversationInfo Criterion DetectedTracker "
        "Entity EntityMatch EntityValue Experience FollowUp FormattedTranscript Insight "
        "InsightEntity InsightRef Intent JobStatus MemberAnalytics Message MessageRef Metric "
        "Notice Overlap OverlapMember Page ParentRef Phrase Progress Question Sentiment "
        "StoredEntity StoredTracker SummaryItem TimeShare Topic TrackerMatch User Word"
    ),
    "options": (
        "ChannelMetadata CustomEntity Features MediaOptions Options SalesMetadata Speaker "
        "TextOptions Tracker TrackerRef"
    ),
    "transcript_formats": "TalkTime talk_time to_markdown to_srt to_text to_webvtt",
    "webhooks": "WebhookReceiver",
    # Packages of their own, for annotations that name their contents.
    "durable": "",
    "report": "",
    "sync": "",
    "testing": "",
}

if TYPE_CHECKING:
    from symbl_aio._error_classes import *
    from symbl_aio._media.inspect import *
    from symbl_aio.bookmarks import *
    from symbl_aio.bulk import *
    from symbl_aio.client import *
    from symbl_aio.config import *
    from symbl_aio.conversations import *
    from symbl_aio.drafts import *
    from symbl_aio.events import *
    from symbl_aio.everything import *
    from symbl_aio.job import *
    from symbl_aio.live.events import *
    from symbl_aio.live.file_stream import *
    from symbl_aio.live.settings import *
    from symbl_aio.live.stream import *
    from symbl_aio.live.subscription import *
    from symbl_aio.live.telephony import *
    from symbl_aio.management import *
    from symbl_aio.media import *
    from symbl_aio.models.analytics import *
    from symbl_aio.models.base import JobStatus as JobStatus
    from symbl_aio.models.base import Page as Page
    from symbl_aio.models.conversation import *
    from symbl_aio.models.insights import *
    from symbl_aio.models.management import *
    from symbl_aio.models.mentions import *
    from symbl_aio.models.people import User as User
    from symbl_aio.models.speech import *
    from symbl_aio.models.summaries import *
    from symbl_aio.options import *
    from symbl_aio.transcript_formats import *
    from symbl_aio.webhooks import *
else:  # type checkers would take a misspelt name for an object
    __getattr__, __dir__, __all__ = _export_on_first_use(__name__, _HOMES)
