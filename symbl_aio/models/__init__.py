"""Models of the API's answers: frozen values with Python names.

Rules that hold for every model here:

- The API leaves out almost any field, so only an item's own ``id`` is certain. A field that
  is absent, ``null`` or of another type than documented is ``None``; a text is ``""`` and a
  list is ``()``.
- ``raw`` is the JSON object that was decoded into the value. Fields that the model does not
  name, or could not decode, are there.
- Instants are aware ``datetime``\\ s in UTC. Lengths of time are ``float`` seconds.
- Ids are opaque strings, also where they look like numbers.

Each name is imported on first use: attrs needs half a millisecond for each class, and there
are many.
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
