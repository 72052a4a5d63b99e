"""Live audio: streams, subscriptions and telephone calls, and the events that they yield.

::

    async with symbl.stream(sample_rate=16_000, insight_types=["question"]) as stream:
        await stream.send(pcm)
        async for event in stream:
            match event:
                case Recognition(text=text, is_final=True):
                    print(text)

``SymblClient.stream``, ``stream_file``, ``subscribe`` and ``telephony`` open them.
"""

from typing import TYPE_CHECKING

from symbl_aio._lazy import export_on_first_use as _export_on_first_use

_HOMES = {
    "events": (
        "EntityEvent ErrorEvent Gap InsightEvent LiveEvent MessageEvent Missed Recognition "
        "SpokenWord StateEvent TopicEvent TrackerEvent UnknownEvent"
    ),
    "file_stream": "FileStream",
    "settings": "Redaction StreamSettings",
    "stream": "Stream",
    "subscription": "Subscription",
    "telephony": "Call CallEnded Pstn Sip SummaryEmail SummaryLink Telephony",
}

if TYPE_CHECKING:
    from symbl_aio.live.events import *
    from symbl_aio.live.file_stream import *
    from symbl_aio.live.settings import *
    from symbl_aio.live.stream import *
    from symbl_aio.live.subscription import *
    from symbl_aio.live.telephony import *
else:  # type checkers would take a misspelt name for an object
    __getattr__, __dir__, __all__ = _export_on_first_use(__name__, _HOMES)
