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

if TYPE_CHECKING:
    from symbl_aio._io.engine import Drain, Stats
    from symbl_aio._media.inspect import recording_of
    from symbl_aio.bookmarks import Bookmarks
    from symbl_aio.bulk import Completed, Failed, Outcome
    from symbl_aio.client import SymblClient
    from symbl_aio.config import (
        AccessToken,
        Config,
        Credentials,
        CredentialsLike,
        Lanes,
        Limits,
        Polls,
        Retries,
        Timeouts,
    )
    from symbl_aio.conversations import Conversation
    from symbl_aio.drafts import (
        BookmarkDraft,
        Colors,
        EntityDraft,
        GroupDraft,
        Patch,
        SpeakerEvent,
        TrackerDraft,
        criteria,
    )
    from symbl_aio.errors import (
        AmbiguousSubmissionError,
        APIError,
        AppendBlockedError,
        AuthenticationError,
        BadRequestError,
        BadUploadError,
        ClientClosedError,
        ConcurrencyLimitError,
        ConfigurationError,
        DecodeError,
        EarlyReadWarning,
        FileChangedError,
        FileUnavailableError,
        JobError,
        JobFailedError,
        JobLostError,
        JobTimeoutError,
        MediaRejectedError,
        NotFoundError,
        OutboxUnavailableError,
        PermissionDeniedError,
        QueueFullError,
        ServerError,
        StillAmbiguousError,
        SymblError,
        TransportError,
        UntrustedServerError,
        UploadError,
        UploadStalledError,
    )
    from symbl_aio.events import (
        Event,
        ItemEnded,
        JobEnded,
        JobStatusChanged,
        Observer,
        PollFailed,
        SubmissionAccepted,
        SubmissionEnded,
        SubmissionQueued,
        SubmissionRefused,
        SubmissionStarted,
    )
    from symbl_aio.export import Everything, InsightPart
    from symbl_aio.job import Acceptance, Job, JobEvent, Submission, UploadProgress
    from symbl_aio.management import Entities, Groups, Settings, Trackers
    from symbl_aio.media import Audio, AudioURL, Text, Utterance, Video, VideoURL
    from symbl_aio.models import (
        AbstractTopic,
        ActionItem,
        Analytics,
        Bookmark,
        BookmarkSummary,
        CallScore,
        ComprehensiveActionItem,
        ConversationGroup,
        ConversationInfo,
        Criterion,
        DetectedTracker,
        Entity,
        EntityMatch,
        EntityValue,
        Experience,
        FollowUp,
        FormattedTranscript,
        Insight,
        InsightEntity,
        InsightRef,
        Intent,
        JobStatus,
        MemberAnalytics,
        Message,
        MessageRef,
        Metric,
        Notice,
        Overlap,
        OverlapMember,
        Page,
        ParentRef,
        Phrase,
        Progress,
        Question,
        Sentiment,
        StoredEntity,
        StoredTracker,
        SummaryItem,
        TimeShare,
        Topic,
        TrackerMatch,
        User,
        Word,
    )
    from symbl_aio.options import (
        ChannelMetadata,
        CustomEntity,
        Features,
        MediaOptions,
        SalesMetadata,
        Speaker,
        TextOptions,
        Tracker,
        TrackerRef,
    )
    from symbl_aio.transcripts import TalkTime, talk_time, to_markdown, to_srt, to_text, to_webvtt
    from symbl_aio.webhooks import WebhookReceiver

# Imported when it is first used: a program needs few of these, some need nothing but an error
# or a setting, and making a class takes attrs half a millisecond.
_HOMES = {
    "_errors": (
        "APIError AppendBlockedError AuthenticationError BadRequestError BadUploadError "
        "ConcurrencyLimitError ConfigurationError DecodeError EarlyReadWarning FileChangedError "
        "FileUnavailableError MediaRejectedError NotFoundError OutboxUnavailableError "
        "PermissionDeniedError QueueFullError ServerError StillAmbiguousError SymblError "
        "TransportError UntrustedServerError UploadError UploadStalledError"
    ),
    "_media.inspect": "recording_of",
    "_io.engine": "Drain Stats",
    "bookmarks": "Bookmarks",
    "bulk": "Completed Failed Outcome",
    "client": "SymblClient",
    "config": "AccessToken Config Credentials CredentialsLike Lanes Limits Polls Retries Timeouts",
    "conversations": "Conversation",
    "drafts": (
        "BookmarkDraft Colors EntityDraft GroupDraft Patch SpeakerEvent TrackerDraft criteria"
    ),
    "events": (
        "Event ItemEnded JobEnded JobEvent JobStatusChanged Observer PollFailed SubmissionAccepted "
        "SubmissionEnded SubmissionQueued SubmissionRefused SubmissionStarted UploadProgress"
    ),
    "export": "Everything InsightPart",
    "job": (
        "Acceptance AmbiguousSubmissionError ClientClosedError Job JobError JobFailedError "
        "JobLostError JobTimeoutError Submission"
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
        "ChannelMetadata CustomEntity Features MediaOptions SalesMetadata Speaker TextOptions "
        "Tracker TrackerRef"
    ),
    "transcripts": "TalkTime talk_time to_markdown to_srt to_text to_webvtt",
    "webhooks": "WebhookReceiver",
    # Packages of their own: annotations name what is in them.
    "durable": "",
    "testing": "",
}

__all__ = [
    "APIError",
    "AbstractTopic",
    "Acceptance",
    "AccessToken",
    "ActionItem",
    "AmbiguousSubmissionError",
    "Analytics",
    "AppendBlockedError",
    "Audio",
    "AudioURL",
    "AuthenticationError",
    "BadRequestError",
    "BadUploadError",
    "Bookmark",
    "BookmarkDraft",
    "BookmarkSummary",
    "Bookmarks",
    "CallScore",
    "ChannelMetadata",
    "ClientClosedError",
    "Colors",
    "Completed",
    "ComprehensiveActionItem",
    "ConcurrencyLimitError",
    "Config",
    "ConfigurationError",
    "Conversation",
    "ConversationGroup",
    "ConversationInfo",
    "Credentials",
    "CredentialsLike",
    "Criterion",
    "CustomEntity",
    "DecodeError",
    "DetectedTracker",
    "Drain",
    "EarlyReadWarning",
    "Entities",
    "Entity",
    "EntityDraft",
    "EntityMatch",
    "EntityValue",
    "Event",
    "Everything",
    "Experience",
    "Failed",
    "Features",
    "FileChangedError",
    "FileUnavailableError",
    "FollowUp",
    "FormattedTranscript",
    "GroupDraft",
    "Groups",
    "Insight",
    "InsightEntity",
    "InsightPart",
    "InsightRef",
    "Intent",
    "ItemEnded",
    "Job",
    "JobEnded",
    "JobError",
    "JobEvent",
    "JobFailedError",
    "JobLostError",
    "JobStatusChanged",
    "JobStatus",
    "JobTimeoutError",
    "Lanes",
    "Limits",
    "MediaOptions",
    "MediaRejectedError",
    "MemberAnalytics",
    "Message",
    "MessageRef",
    "Metric",
    "NotFoundError",
    "Notice",
    "Observer",
    "OutboxUnavailableError",
    "Outcome",
    "Overlap",
    "OverlapMember",
    "Page",
    "ParentRef",
    "Patch",
    "PermissionDeniedError",
    "Phrase",
    "PollFailed",
    "Polls",
    "Progress",
    "Question",
    "QueueFullError",
    "Retries",
    "SalesMetadata",
    "Sentiment",
    "ServerError",
    "Settings",
    "Speaker",
    "SpeakerEvent",
    "Stats",
    "StillAmbiguousError",
    "StoredEntity",
    "StoredTracker",
    "Submission",
    "SubmissionAccepted",
    "SubmissionEnded",
    "SubmissionQueued",
    "SubmissionRefused",
    "SubmissionStarted",
    "SummaryItem",
    "SymblClient",
    "SymblError",
    "TalkTime",
    "Text",
    "TextOptions",
    "TimeShare",
    "Timeouts",
    "Topic",
    "Tracker",
    "TrackerDraft",
    "TrackerMatch",
    "TrackerRef",
    "Trackers",
    "TransportError",
    "UntrustedServerError",
    "UploadError",
    "UploadProgress",
    "UploadStalledError",
    "User",
    "Utterance",
    "Video",
    "VideoURL",
    "WebhookReceiver",
    "Word",
    "criteria",
    "recording_of",
    "talk_time",
    "to_markdown",
    "to_srt",
    "to_text",
    "to_webvtt",
]

if not TYPE_CHECKING:  # or else a misspelt name would be of type object
    __getattr__, __dir__ = _export_on_first_use(__name__, _HOMES)
