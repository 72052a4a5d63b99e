"""What the API answers, as frozen values with Python names.

Rules that hold for every model here:

- The API leaves out almost anything, so only an item's own ``id`` is sure. What is
  absent, ``null`` or of another type than documented reads as ``None``; a text reads
  as ``""`` and a list as ``()``.
- ``raw`` is the very JSON object that the value was made of, so what a model does not
  name, or could not read, is found there.
- Instants are aware ``datetime``\\ s in UTC. Lengths of time are ``float`` seconds.
- Ids are opaque strings, whatever they look like.

Each name is imported when it is first used: making a class takes attrs half a
millisecond, and there are many.
"""

from typing import TYPE_CHECKING

from symbl_aio._lazy import export_on_first_use
from symbl_aio.models.base import JSON, JobStatus, Page, as_json

if TYPE_CHECKING:
    from symbl_aio.models.analytics import (
        Analytics,
        MemberAnalytics,
        Metric,
        Overlap,
        OverlapMember,
        TimeShare,
    )
    from symbl_aio.models.conversation import ConversationInfo, Experience, Notice
    from symbl_aio.models.insights import (
        AbstractTopic,
        ActionItem,
        ComprehensiveActionItem,
        FollowUp,
        Insight,
        Intent,
        ParentRef,
        Question,
        Topic,
    )
    from symbl_aio.models.management import ConversationGroup, StoredEntity, StoredTracker
    from symbl_aio.models.mentions import (
        DetectedTracker,
        Entity,
        EntityMatch,
        EntityValue,
        InsightEntity,
        InsightRef,
        MessageRef,
        TrackerMatch,
    )
    from symbl_aio.models.people import NOBODY, User
    from symbl_aio.models.speech import FormattedTranscript, Message, Phrase, Sentiment, Word
    from symbl_aio.models.summaries import (
        Bookmark,
        BookmarkSummary,
        CallScore,
        Criterion,
        Progress,
        SummaryItem,
    )

_HOMES = {
    "analytics": "Analytics MemberAnalytics Metric Overlap OverlapMember TimeShare",
    "conversation": "ConversationInfo Experience Notice",
    "insights": (
        "AbstractTopic ActionItem ComprehensiveActionItem FollowUp Insight Intent ParentRef "
        "Question Topic"
    ),
    "management": "ConversationGroup StoredEntity StoredTracker",
    "mentions": (
        "DetectedTracker Entity EntityMatch EntityValue InsightEntity InsightRef MessageRef "
        "TrackerMatch"
    ),
    "people": "NOBODY User",
    "speech": "FormattedTranscript Message Phrase Sentiment Word",
    "summaries": "Bookmark BookmarkSummary CallScore Criterion Progress SummaryItem",
}

__all__ = [
    "AbstractTopic",
    "ActionItem",
    "Analytics",
    "Bookmark",
    "BookmarkSummary",
    "CallScore",
    "ComprehensiveActionItem",
    "ConversationGroup",
    "ConversationInfo",
    "Criterion",
    "DetectedTracker",
    "Entity",
    "EntityMatch",
    "EntityValue",
    "Experience",
    "FollowUp",
    "FormattedTranscript",
    "Insight",
    "InsightEntity",
    "InsightRef",
    "Intent",
    "JSON",
    "JobStatus",
    "MemberAnalytics",
    "Message",
    "MessageRef",
    "Metric",
    "NOBODY",
    "Notice",
    "Overlap",
    "OverlapMember",
    "Page",
    "ParentRef",
    "Phrase",
    "Progress",
    "Question",
    "Sentiment",
    "StoredEntity",
    "StoredTracker",
    "SummaryItem",
    "TimeShare",
    "Topic",
    "TrackerMatch",
    "User",
    "Word",
    "as_json",
]

if not TYPE_CHECKING:  # or else a misspelt name would be of type object
    __getattr__, __dir__ = export_on_first_use(__name__, _HOMES)
