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

from symbl_aio._lazy import export_on_first_use as _export_on_first_use

_HOMES = {
    "analytics": "Analytics MemberAnalytics Metric Overlap OverlapMember TimeShare",
    "base": "JSON JobStatus Page as_json",
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

if TYPE_CHECKING:
    from symbl_aio.models.analytics import *
    from symbl_aio.models.base import *
    from symbl_aio.models.conversation import *
    from symbl_aio.models.insights import *
    from symbl_aio.models.management import *
    from symbl_aio.models.mentions import *
    from symbl_aio.models.people import *
    from symbl_aio.models.speech import *
    from symbl_aio.models.summaries import *
else:  # type checkers would take a misspelt name for an object
    __getattr__, __dir__, __all__ = _export_on_first_use(__name__, _HOMES)
