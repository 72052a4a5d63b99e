"""One conversation: its insights, its changes, and appends to it."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import symbl_aio  # for annotations alone: their names are imported when evaluated
from symbl_aio import models
from symbl_aio._detached_handles import DetachedBackend
from symbl_aio._error_classes import EARLY_READ, APIError, ConfigurationError, EarlyReadWarning
from symbl_aio._fields import require_flag, require_url
from symbl_aio._pages import PARTS, decode_part, page
from symbl_aio._protocol import bodies, calls
from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.decode_models import decode, decode_insights
from symbl_aio._protocol.encode import with_body
from symbl_aio.job import HandleBackend, Submission
from symbl_aio.media import MediaLike
from symbl_aio.models import JSON, Page

__all__ = ["Conversation"]

T = TypeVar("T")


class Conversation:
    """A conversation on the server, known by its id; making one costs no request.

    ``client.conversation(id)`` returns one, or raises ``ConfigurationError`` for a bad id.

    Most reading methods return a ``Page``: a sequence of items, with the response around
    them. Every method that sends a request raises:

    - ``NotFoundError`` if the server does not know the conversation, other ``APIError``\\ s
      for other refusals, ``TransportError`` when no answer came, after the retries of
      ``Config.retries``;
    - ``DecodeError`` if the answer cannot be decoded;
    - ``ConfigurationError`` if the id is unknown or an argument is wrong,
      ``ClientClosedError`` outside of the client's ``async with``.

    While a job of the conversation runs, the server returns partial insights, possibly none,
    without any sign of it. So each method that reads insights has ``wait``: true waits first
    for the jobs of the conversation that this client follows, and raises what they raise;
    otherwise the first such read emits an ``EarlyReadWarning``, once for each handle.

    Cancelling a read is safe. After cancelling a change it is unknown whether it was made. A
    copy has the id alone: all else raises ``ConfigurationError``.
    """

    __slots__ = ("__weakref__", "_backend", "_id", "_warned")

    def __init__(self, conversation_id: str | None, *, backend: HandleBackend) -> None:
        self._id = (
            None if conversation_id is None else calls.check_id("conversation_id", conversation_id)
        )
        self._backend = backend
        self._warned = False

    def __repr__(self) -> str:
        return f"<Conversation {self._id or 'of unknown id'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _copied, (self._id,)

    @property
    def id(self) -> str:
        """The conversation's id: an opaque string.

        Raises ``ConfigurationError`` if the job was re-attached without it: the Job API
        does not report the conversation of a job.
        """
        if self._id is None:
            raise ConfigurationError(
                "conversation_id is unknown: the job was re-attached by its id alone; give "
                "client.job(job_id, conversation_id) or client.job(token)"
            )
        return self._id

    async def info(self) -> models.ConversationInfo:
        """Return the record: name, times, members, metadata. "Get conversation" page."""
        return await self._object(models.ConversationInfo, calls.conversation(self.id))

    async def update_metadata(self, metadata: Mapping[str, str]) -> models.ConversationInfo:
        """Set the caller's own metadata of the conversation, which lists can be filtered by.

        Values are strings of at most 128 characters. Whether names that are left out keep
        their values is not documented. The answer may hold the metadata alone.
        Conversation API, "Update conversation" page.
        """
        call = with_body(calls.conversation(self.id, method="PUT"), bodies.metadata(metadata))
        return await self._object(models.ConversationInfo, call)

    async def delete(self) -> None:
        """Delete the conversation and all its contents, for good. "Delete conversation" page.

        After a retry, ``NotFoundError`` may mean that the first attempt deleted it.
        """
        await self._backend.call(calls.conversation(self.id, method="DELETE"))

    async def members(self) -> Page[models.User]:
        """Return the participants. Conversation API, "Get members" page."""
        call = calls.conversation(self.id, "members")
        return self._page("members", await self._backend.call(call))

    async def update_member(
        self, member_id: str, *, name: str, email: str | None = None
    ) -> models.Notice:
        """Name a member. Messages and insights follow, a little later.

        The API treats a speaker with the same ``email`` in appended media as the same
        person. Conversation API, "Update members" page.
        """
        body = bodies.member(member_id, name, email)
        call = with_body(calls.member(self.id, member_id), body)
        return await self._object(models.Notice, call)

    async def add_speaker_events(self, events: Iterable[symbl_aio.SpeakerEvent]) -> models.Notice:
        """Report who spoke when; messages and insights follow later. "Speaker events" page."""
        call = calls.conversation(self.id, "speakers", method="PUT")
        return await self._object(models.Notice, with_body(call, bodies.speaker_events(events)))

    async def messages(
        self,
        *,
        verbose: bool | None = None,
        sentiment: bool | None = None,
        redact: bool | None = None,
        exclude: Sequence[str] | None = None,
        wait: bool = False,
    ) -> Page[models.Message]:
        """Return the transcript in order, all of it in one page.

        ``verbose`` adds each word with its times, ``sentiment`` the polarity. ``redact``
        masks personal data except the categories in ``exclude``, such as ``"PERSON_NAME"``
        (newer hosts only). Offsets and durations are seconds. "Get messages" page.
        """
        return await self._part(
            "messages", wait, verbose=verbose, sentiment=sentiment, redact=redact, exclude=exclude
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
        """Return the topics; scores are from 0 to 1.

        ``parent_refs`` adds the topics above each (documented to stay empty together with
        ``sentiment``). ``custom_topic_vocabulary`` uses the caller's own topic words (labs).
        ``refresh`` makes the server delete the topics and find them anew, with new ids: such
        a call is not repeated once the server may have received it. "Get topics" page.
        """
        return await self._part(
            "topics",
            wait,
            sentiment=sentiment,
            parent_refs=parent_refs,
            custom_topic_vocabulary=custom_topic_vocabulary,
            refresh=refresh,
        )

    async def abstract_topics(self, *, wait: bool = False) -> Page[models.AbstractTopic]:
        """Return topics in words that need not have been spoken (labs, "Abstract topics" page)."""
        return await self._part("abstract_topics", wait)

    async def questions(self, *, wait: bool = False) -> Page[models.Question]:
        """Return the questions asked. Conversation API, "Get questions" page."""
        return await self._part("questions", wait)

    async def action_items(self, *, wait: bool = False) -> Page[models.ActionItem]:
        """Return the tasks, with assignee and due time if spoken. "Get action items" page."""
        return await self._part("action_items", wait)

    async def comprehensive_action_items(
        self, *, wait: bool = False
    ) -> Page[models.ComprehensiveActionItem]:
        """Return action items that can be understood without their context.

        From the Labs host, which keeps the data for research and may vanish. "Comprehensive
        action items" page.
        """
        return await self._part("comprehensive_action_items", wait)

    async def follow_ups(self, *, wait: bool = False) -> Page[models.FollowUp]:
        """Return the agreed calls, meetings and messages. "Get follow-ups" page."""
        return await self._part("follow_ups", wait)

    async def insights(self, *, wait: bool = False) -> Page[models.Insight]:
        """Return questions, action items and follow-ups in one list, each of its own class.

        An item of an unknown type is a plain ``Insight``. "Get insights" page.
        """
        answer = await self._read("insights", wait, depth=4)
        raw = answer.json()
        return page(answer, raw, decode_insights(raw, text=answer.text))

    async def entities(self, *, wait: bool = False) -> Page[models.Entity]:
        """Return the named entities: people, dates, places, the caller's own entities.

        Empty unless the media was processed with ``detect_entities``. "Get entities" page.
        """
        return await self._part("entities", wait)

    async def analytics(self, *, wait: bool = False) -> models.Analytics:
        """Return each speaker's time and pace; seconds and percent. "Get analytics" page."""
        answer = await self._read(PARTS["analytics"].path, wait, depth=4)
        return decode(models.Analytics, answer.json(), text=answer.text)

    async def trackers(self, *, wait: bool = False) -> Page[models.DetectedTracker]:
        """Return the detected trackers with their matches.

        Reads ``/trackers-detected``, and from a host that does not know it (404, 405) the
        older ``/trackers``. Conversation API, "Get trackers" page.
        """
        try:
            answer = await self._read("trackers-detected", wait, depth=4)
        except APIError as error:
            if error.status not in (404, 405):
                raise
            answer = await self._read("trackers", wait, depth=4)
        return self._page("trackers", answer)

    async def summary(
        self, *, refresh: bool | None = None, wait: bool = False
    ) -> Page[models.SummaryItem]:
        """Return the summary; the server makes one if there is none yet.

        ``refresh=True`` makes it anew, and is not repeated once the server may have received
        it; ``refresh=False`` adds new content. Raises ``NotFoundError`` while the job runs;
        a short conversation (under about ten minutes) may have none. "Summary" page.
        """
        return await self._part("summary", wait, refresh=refresh)

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
        """Return the transcript as a text that the server formats (a POST that only reads).

        ``speakers`` puts the speaker's name before each line. For Markdown only:
        ``paragraphs``, and ``all_phrases`` or ``insight_phrases``, which mark key phrases.
        To format one without a request, and WebVTT too, see ``symbl_aio.transcript_formats``.
        Conversation API, "Formatted transcript" page.
        """
        body = bodies.transcript(
            format,
            paragraphs=paragraphs,
            speakers=speakers,
            all_phrases=all_phrases,
            insight_phrases=insight_phrases,
        )
        call = calls.conversation(self.id, "transcript", method="POST")
        require_flag("wait", wait)
        await self._settled(wait)
        answer = await self._backend.call(with_body(call, body))
        raw = answer.json()
        inner = raw.get("transcript") if isinstance(raw, dict) else None
        return decode(models.FormattedTranscript, inner, text=answer.text)

    async def intents(self, *, wait: bool = False) -> Page[models.Intent]:
        """Return the intents of a call (newer hosts, "Intents" page)."""
        return await self._part("intents", wait)

    async def call_score(self, *, wait: bool = False) -> models.CallScore:
        """Return the score of a call (newer hosts, "Call score" page).

        Made only if ``MediaOptions.features`` has ``"callScore"``, and from 50 words on.
        """
        answer = await self._read(PARTS["call_score"].path, wait, depth=4)
        return decode(models.CallScore, answer.json(), text=answer.text)

    async def call_score_status(self) -> models.Progress:
        """Return the progress of the call score (newer hosts)."""
        return await self._object(models.Progress, calls.conversation(self.id, "callscore/status"))

    async def insights_status(self) -> models.Progress:
        """Return the progress of the insights for the ready-made page (newer hosts)."""
        call = calls.conversation(self.id, "lm-insights/status")
        return await self._object(models.Progress, call)

    async def create_experience(
        self,
        name: Literal["verbose-text-summary", "video-summary", "audio-summary"],
        *,
        video_url: str | None = None,
        audio_url: str | None = None,
        logo: str | None = None,
        favicon: str | None = None,
        colors: symbl_aio.Colors | None = None,
        font_family: str | None = None,
        summary_url_expires_in: int | None = None,
        read_only: bool | None = None,
        enable_custom_domain: bool | None = None,
        speaker_avatar_urls: Mapping[str, str] | None = None,
    ) -> models.Experience:
        """Create a ready-made page about the conversation, and return its link, a secret.

        ``video_url`` or ``audio_url`` is the recording, under the URL that was processed;
        ``summary_url_expires_in`` is in seconds (0: never, 30 days if not given);
        ``speaker_avatar_urls`` are by member id. Each call creates another link; it is not
        repeated once the server may have received it. Experience API page.
        """
        body, urls = bodies.experience(
            name,
            colors=colors,
            font_family=font_family,
            video_url=video_url,
            audio_url=audio_url,
            logo=logo,
            favicon=favicon,
            summary_url_expires_in=summary_url_expires_in,
            read_only=read_only,
            enable_custom_domain=enable_custom_domain,
            speaker_avatar_urls=speaker_avatar_urls,
        )
        call = with_body(calls.conversation(self.id, "experiences", method="POST"), body, urls=urls)
        return await self._object(models.Experience, call, repeatable=False)

    async def insights_ui(self, *, include_call_score: bool | None = None) -> models.Experience:
        """Return the link to the ready-made page of the insights, a secret (newer hosts)."""
        call = calls.insights_ui(self.id, include_call_score=include_call_score)
        return await self._object(models.Experience, call)

    async def set_media_url(self, url: str) -> models.Notice:
        """Set the recording's present URL, for the ready-made pages (newer hosts)."""
        call = calls.conversation(self.id, "experiences/url", method="PUT")
        require_url("url", url)
        return await self._object(models.Notice, with_body(call, {"url": url}, urls=[url]))

    @property
    def bookmarks(self) -> symbl_aio.Bookmarks:
        """The bookmarks of the conversation (newer hosts)."""
        from symbl_aio.bookmarks import Bookmarks

        return Bookmarks(self.id, backend=self._backend)

    async def everything(
        self,
        parts: Collection[symbl_aio.InsightPart] | None = None,
        *,
        verbose: bool | None = None,
        sentiment: bool | None = None,
        wait: bool = False,
    ) -> symbl_aio.Everything:
        """Read the conversation's parts, four requests at a time, into one value.

        Without ``parts``: all that the Conversation API documents, the summary included
        (which the server makes if there is none), and nothing of Labs or newer hosts alone.
        A part that this host or conversation does not have (404, 405) is named in
        ``Everything.missing``; any other error stops the reads and is raised.
        ``verbose`` and ``sentiment`` as for ``messages``, ``wait`` as everywhere.
        """
        from symbl_aio.everything import check_parts, gather

        require_flag("wait", wait)
        wanted = check_parts(parts, verbose=verbose, sentiment=sentiment)
        await self._settled(wait)
        # With sentiment, the API documents that the parents of topics stay empty.
        topics = {"sentiment": sentiment, "parent_refs": None if sentiment else True}
        queries = {"messages": {"verbose": verbose, "sentiment": sentiment}, "topics": topics}

        def read(part: str) -> Awaitable[Any]:
            method = self.bookmarks.list if part == "bookmarks" else getattr(self, part)
            return method(**queries.get(part, {}))

        return await gather(await self.info(), wanted, read)

    def append(
        self, media: MediaLike, options: symbl_aio.Options | None = None, *, key: str | None = None
    ) -> Submission:
        """Queue media to be added to this conversation, as ``client.append`` does.

        Returns at once; await the submission for its job. Appends to one conversation run
        in call order. Raises ``ConfigurationError`` for a wrong argument or an unknown id,
        ``QueueFullError``, and ``ClientClosedError`` once the client began to close.
        """
        return self._backend.submit(media, options, key=key, to=self.id)

    def resume_appends(self) -> None:
        """Resume appends after an ambiguous one halted the conversation.

        Settle that one first, with the error's ``reconcile()``. No-op without a halt. Raises
        ``ConfigurationError`` when the id is unknown.
        """
        self._backend.resume_appends(self.id)

    async def _object(self, model: type[T], call: calls.Call, *, repeatable: bool = True) -> T:
        answer = await self._backend.call(call, repeatable=repeatable)
        return decode(model, answer.json(), text=answer.text)

    async def _part(self, name: str, wait: bool, **query: JSON) -> Page[Any]:
        """Read one of ``PARTS`` that is a list."""
        return self._page(name, await self._read(PARTS[name].path, wait, depth=5, **query))

    def _page(self, name: str, answer: Answer) -> Page[Any]:
        raw = answer.json()
        return page(answer, raw, decode_part(name, raw, text=answer.text))

    async def _read(self, part: calls.Part, wait: bool, *, depth: int, **query: JSON) -> Answer:
        call = calls.conversation(self.id, part, method="GET", **query)
        require_flag("wait", wait)
        await self._settled(wait, depth=depth)
        # A retry of a refresh would delete what the first attempt made anew.
        return await self._backend.call(call, repeatable=query.get("refresh") is not True)

    async def _settled(self, wait: bool, *, depth: int = 3) -> None:
        """Wait for the followed jobs, or warn at the caller's line, ``depth`` frames up.

        A warning, not a log line: the mistake is in the caller's code, which can silence it.
        """
        if wait:
            while jobs := self._backend.jobs_of(self.id):
                await jobs[0]
        elif self._first_reads_early():
            warnings.warn(EARLY_READ, EarlyReadWarning, stacklevel=depth)

    def _first_reads_early(self) -> bool:
        """Return whether a job of the conversation still runs, but true only once."""
        is_first = not self._warned and bool(self._backend.jobs_of(self.id))
        self._warned |= is_first
        return is_first


def _copied(conversation_id: str | None) -> Conversation:
    remedy = "client.conversation(conversation.id) gives one that does"
    return Conversation(conversation_id, backend=DetachedBackend("conversation", remedy))
