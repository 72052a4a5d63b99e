"""What was said in a conversation, and what was found in it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Literal, TypeVar

from symbl_aio import models
from symbl_aio._errors import APIError, ConfigurationError, EarlyReadWarning
from symbl_aio._fields import require_all, require_flag
from symbl_aio._protocol import bodies, calls
from symbl_aio._protocol.calls import Part, check_id
from symbl_aio._protocol.decode import decode, decode_detected_trackers, decode_insights
from symbl_aio._protocol.encode import Answer, with_body
from symbl_aio.account import Account, page, page_of
from symbl_aio.models import JSON, Page

T = TypeVar("T")


def _categories(exclude: Sequence[str] | None) -> JSON:
    if exclude is None or (isinstance(exclude, list | tuple) and not exclude):
        return exclude
    return list(require_all("exclude", exclude, str, 'categories such as "PERSON_NAME"'))


class Reading:
    """The insights of one conversation; ``Conversation`` is what people hold.

    Each method is one GET of the Conversation API (``transcript`` a POST that only asks).
    As long as a job of the conversation runs, the server tells what it has so far, which
    may be nothing, and gives no sign of it. So each takes ``wait``: true waits first until
    the jobs of the conversation that this client follows have ended, and raises what they
    raise; otherwise the first such reading gives an ``EarlyReadWarning``, once for each
    handle.
    """

    __slots__ = ("_account", "_id", "_warned")

    def __init__(self, conversation_id: str | None, *, account: Account) -> None:
        self._id = None if conversation_id is None else check_id("conversation_id", conversation_id)
        self._account = account
        self._warned = False

    @property
    def id(self) -> str:
        """The conversation's id: an opaque string.

        Raises ``ConfigurationError`` if the job was re-attached without it: the Job API
        does not tell which conversation a job belongs to.
        """
        if self._id is None:
            raise ConfigurationError(
                "conversation_id is unknown: the job was re-attached by its id alone; give "
                "client.job(job_id, conversation_id) or client.job(token)"
            )
        return self._id

    async def messages(
        self,
        *,
        verbose: bool | None = None,
        sentiment: bool | None = None,
        redact: bool | None = None,
        exclude: Sequence[str] | None = None,
        wait: bool = False,
    ) -> Page[models.Message]:
        """Give the transcript in its order, all of it in one page.

        ``verbose`` adds each word with its times, ``sentiment`` how it was meant. ``redact``
        masks personal data but for the categories in ``exclude``, such as
        ``"PERSON_NAME"`` (newer hosts only). Offsets and durations are seconds.
        Conversation API, "Get messages" page.
        """
        return await self._page(
            models.Message,
            "messages",
            "messages",
            wait=wait,
            verbose=verbose,
            sentiment=sentiment,
            redact=redact,
            exclude=_categories(exclude),
        )

    async def topics(
        self,
        *,
        sentiment: bool | None = None,
        parent_refs: bool | None = None,
        custom_topic_vocabulary: bool | None = None,
        refresh: bool | None = None,
        wait: bool = False,
    ) -> Page[models.Topic]:
        """Give what was talked about; scores are from 0 to 1.

        ``parent_refs`` adds the topics above each (documented to stay empty together with
        ``sentiment``). ``custom_topic_vocabulary`` takes the caller's own words for topics
        (labs). ``refresh`` makes the server delete the topics and find them anew, with new
        ids: such a call is not repeated once it may have been heard.
        Conversation API, "Get topics" page.
        """
        return await self._page(
            models.Topic,
            "topics",
            "topics",
            wait=wait,
            sentiment=sentiment,
            parent_refs=parent_refs,
            custom_topic_vocabulary=custom_topic_vocabulary,
            refresh=refresh,
        )

    async def abstract_topics(self, *, wait: bool = False) -> Page[models.AbstractTopic]:
        """Give subjects in words that need not have been said (labs, "Abstract topics" page)."""
        return await self._page(
            models.AbstractTopic, "abstract-topics", "abstractTopics", wait=wait
        )

    async def questions(self, *, wait: bool = False) -> Page[models.Question]:
        """Give the questions that were asked. Conversation API, "Get questions" page."""
        return await self._page(models.Question, "questions", "questions", wait=wait)

    async def action_items(self, *, wait: bool = False) -> Page[models.ActionItem]:
        """Give what is to be done, by whom and until when, where that was said.

        Conversation API, "Get action items" page.
        """
        return await self._page(models.ActionItem, "action-items", "actionItems", wait=wait)

    async def comprehensive_action_items(
        self, *, wait: bool = False
    ) -> Page[models.ComprehensiveActionItem]:
        """Give action items that can be understood by themselves.

        From the Labs host, which keeps the data for research and may vanish.
        Conversation API, "Comprehensive action items" page.
        """
        return await self._page(
            models.ComprehensiveActionItem, "comprehensive/action-items", "actionItems", wait=wait
        )

    async def follow_ups(self, *, wait: bool = False) -> Page[models.FollowUp]:
        """Give the calls, meetings and messages that were agreed upon.

        Conversation API, "Get follow-ups" page.
        """
        return await self._page(models.FollowUp, "follow-ups", "followUps", wait=wait)

    async def insights(self, *, wait: bool = False) -> Page[models.Insight]:
        """Give questions, action items and follow-ups in one list, each of its own class.

        Of a type that is not known here, a plain ``Insight``. Conversation API, "Get
        insights" page.
        """
        answer = await self._read("insights", wait=wait)
        return page(answer, decode_insights(answer.json(), text=answer.text))

    async def entities(self, *, wait: bool = False) -> Page[models.Entity]:
        """Give what was named: people, dates, places, the caller's own entities.

        Empty unless the media was processed with ``detect_entities``. Conversation API,
        "Get entities" page.
        """
        return await self._page(models.Entity, "entities", "entities", wait=wait)

    async def analytics(self, *, wait: bool = False) -> models.Analytics:
        """Give who spoke for how long and how fast; seconds and percent.

        Conversation API, "Get analytics" page.
        """
        answer = await self._read("analytics", wait=wait)
        return decode(models.Analytics, answer.json(), text=answer.text)

    async def trackers(self, *, wait: bool = False) -> Page[models.DetectedTracker]:
        """Give the trackers that were found, and where.

        Asks ``/trackers-detected``, and where that is not known (404, 405) the older
        ``/trackers``. Conversation API, "Get trackers" page.
        """
        try:
            answer = await self._read("trackers-detected", wait=wait)
        except APIError as error:
            if error.status not in (404, 405):
                raise
            answer = await self._read("trackers", wait=wait)
        return page(answer, decode_detected_trackers(answer.json(), text=answer.text))

    async def summary(
        self, *, refresh: bool | None = None, wait: bool = False
    ) -> Page[models.SummaryItem]:
        """Give the summary; the server makes one if there is none yet.

        ``refresh=True`` makes it anew, and is not repeated once it may have been heard;
        ``refresh=False`` adds what is new. Raises ``NotFoundError`` while the job runs;
        a short conversation (under about ten minutes) may have none. "Summary" page.
        """
        return await self._page(
            models.SummaryItem, "summary", "summary", wait=wait, refresh=refresh
        )

    async def transcript(
        self,
        format: Literal["markdown", "srt"] = "markdown",
        *,
        paragraphs: bool | None = None,
        speakers: bool | None = None,
        all_phrases: bool | None = None,
        insight_phrases: bool | None = None,
        wait: bool = False,
    ) -> models.FormattedTranscript:
        """Give the transcript as a text that the server writes.

        ``speakers`` puts the speaker's name before each line. For Markdown only:
        ``paragraphs``, and ``all_phrases`` or ``insight_phrases``, which mark key phrases.
        To write one without a request, and WebVTT too, see ``symbl_aio.transcripts``.
        Conversation API, "Formatted transcript" page.
        """
        if format not in ("markdown", "srt"):
            raise ConfigurationError(f'format is {format!r}; give "markdown" or "srt"')
        body = bodies.transcript(
            f"text/{format}",
            paragraphs=paragraphs,
            speakers=speakers,
            all_phrases=all_phrases,
            insight_phrases=insight_phrases,
        )
        call = calls.conversation(self.id, "transcript", method="POST")
        require_flag("wait", wait)
        await self._settled(wait)
        answer = await self._account.call(with_body(call, body))
        raw = answer.json()
        inner = raw.get("transcript") if isinstance(raw, dict) else None
        return decode(models.FormattedTranscript, inner, text=answer.text)

    async def intents(self, *, wait: bool = False) -> Page[models.Intent]:
        """Give what the call was answered with (newer hosts, "Intents" page)."""
        return await self._page(models.Intent, "intents", "intents", wait=wait)

    async def call_score(self, *, wait: bool = False) -> models.CallScore:
        """Give how good the call was (newer hosts, "Call score" page).

        Made only if ``MediaOptions.features`` asked for ``"callScore"``, of 50 words or more.
        """
        answer = await self._read("callscore", wait=wait)
        return decode(models.CallScore, answer.json(), text=answer.text)

    async def call_score_status(self) -> models.Progress:
        """Say how far the making of the call score has come (newer hosts)."""
        return await self._progress("callscore/status")

    async def insights_status(self) -> models.Progress:
        """Say how far the making of the insights for the ready-made page has come (newer hosts)."""
        return await self._progress("lm-insights/status")

    async def _progress(self, part: Part) -> models.Progress:
        answer = await self._account.call(calls.conversation(self.id, part))
        return decode(models.Progress, answer.json(), text=answer.text)

    async def _page(
        self, model: type[T], part: Part, key: str, *, wait: bool, **query: JSON
    ) -> Page[T]:
        return page_of(model, await self._read(part, wait=wait, depth=5, **query), key)

    async def _read(self, part: Part, *, wait: bool, depth: int = 4, **query: JSON) -> Answer:
        call = calls.conversation(self.id, part, method="GET", **query)
        require_flag("wait", wait)
        await self._settled(wait, depth=depth)
        # What a refresh deletes and makes anew, a retry would delete again.
        return await self._account.call(call, repeatable=query.get("refresh") is not True)

    async def _settled(self, wait: bool, *, depth: int = 3) -> None:
        """Wait for the jobs that are known to run, or warn; ``depth`` leads to the caller's line.

        A warning, not a line in the log: the mistake is in the caller's code, whose line it
        names, and there it can be made an error or be silenced.
        """
        if wait:
            while jobs := self._account.jobs_of(self.id):
                await jobs[0]
        elif not self._warned and self._account.jobs_of(self.id):
            self._warned = True
            # No ids: Python remembers every text of a warning for as long as the process lives.
            warnings.warn(
                "a conversation is read while one of its jobs still runs: the answer is "
                "incomplete. Await the job first, or read with wait=True",
                EarlyReadWarning,
                stacklevel=depth,
            )
