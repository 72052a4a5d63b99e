"""Handles on submissions, jobs and conversations, without ``await``.

Each method does what its namesake of ``symbl_aio`` does, whose docstring has the promises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from symbl_aio import conversations, job, models
from symbl_aio._fields import require_seconds
from symbl_aio.drafts import Colors, SpeakerEvent
from symbl_aio.events import JobEvent, UploadProgress
from symbl_aio.everything import Everything, InsightPart
from symbl_aio.media import MediaLike
from symbl_aio.models import JobStatus, Page
from symbl_aio.options import Options
from symbl_aio.sync.management import Bookmarks
from symbl_aio.sync.portal import Portal

__all__ = ["Conversation", "Job", "Submission"]


class Job:
    """An accepted job. ``wait()`` returns its conversation, as ``await job`` does.

    Waits of several threads are independent of each other.
    """

    def __init__(self, portal: Portal, job: job.Job) -> None:
        self._portal = portal
        self._job = job

    def __repr__(self) -> str:
        return repr(self._job)

    @property
    def id(self) -> str:
        """The job's id."""
        return self._job.id

    @property
    def source(self) -> str | None:
        """Name of the media; ``None`` for a text, or a job attached by its id."""
        return self._job.source

    @property
    def conversation_id(self) -> str | None:
        """Id of the job's conversation; ``None`` as long as only the job id is known."""
        return self._job.conversation_id

    @property
    def status(self) -> JobStatus:
        """The last status learned; no I/O. ``UNKNOWN`` before the first."""
        return self._job.status

    @property
    def conversation(self) -> Conversation:
        """The conversation the job adds to. Before completion its insights are incomplete."""
        return Conversation(self._portal, self._job.conversation)

    @property
    def token(self) -> str:
        """A small JSON text with which ``client.job(token)`` re-attaches, in any process."""
        return self._job.token

    def done(self) -> bool:
        """Return whether ``wait`` would return or raise at once."""
        return self._portal.run(lambda: self._job.done())

    def wait(self, *, timeout: float | None = None) -> Conversation:
        """Wait until the job is finished, at most ``timeout`` seconds."""
        return Conversation(
            self._portal, self._portal.call(lambda: self._job.wait(timeout=timeout))
        )

    def refresh(self) -> JobStatus:
        """Poll the job now, outside of the poller's schedule, and return its status."""
        return self._portal.call(lambda: self._job.refresh())

    def events(self) -> Iterator[JobEvent]:
        """Yield every transition, starting with those that already happened."""
        return self._portal.iterate(lambda: self._job.events())


class Submission:
    """A queued submission. ``wait()`` returns its job, as ``await submission`` does."""

    def __init__(self, portal: Portal, submission: job.Submission) -> None:
        self._portal = portal
        self._submission = submission

    def __repr__(self) -> str:
        return repr(self._submission)

    @property
    def key(self) -> str:
        """The idempotency key, yours or one that was made up."""
        return self._submission.key

    @property
    def source(self) -> str | None:
        """Name of the media; ``None`` for a text."""
        return self._submission.source

    @property
    def conversation_id(self) -> str | None:
        """Id of the conversation to which it adds; ``None`` for a new one."""
        return self._submission.conversation_id

    def wait(self, *, timeout: float | None = None) -> Job:
        """Wait until the server has accepted it, at most ``timeout`` seconds.

        Raises the error that prevented it, ``concurrent.futures.CancelledError`` after
        ``cancel()``, and ``TimeoutError``, which leaves the submission queued or running.
        """
        require_seconds("timeout", timeout, or_none=True)

        async def accepted() -> job.Job:
            limit = asyncio.timeout(timeout)
            try:
                async with limit:
                    return await self._submission
            except TimeoutError:
                if not limit.expired():
                    raise
                raise TimeoutError(
                    f"submission {self.key} was not accepted within {timeout} s; it continues"
                ) from None

        return Job(self._portal, self._portal.call(accepted))

    def done(self) -> bool:
        """Return whether ``wait`` would return or raise at once."""
        return self._portal.run(lambda: self._submission.done())

    def cancel(self) -> bool:
        """Withdraw the submission; true only while surely nothing was accepted."""
        return self._portal.run(lambda: self._submission.cancel())

    def progress(self) -> Iterator[UploadProgress]:
        """Yield the upload's progress until the submission is accepted or fails."""
        return self._portal.iterate(lambda: self._submission.progress())


class Conversation:
    """A conversation on the server, known by its id."""

    def __init__(self, portal: Portal, conversation: conversations.Conversation) -> None:
        self._portal = portal
        self._conversation = conversation

    def __repr__(self) -> str:
        return repr(self._conversation)

    @property
    def id(self) -> str:
        """The conversation's id: an opaque string."""
        return self._conversation.id

    def info(self) -> models.ConversationInfo:
        """Return the record: name, times, members, metadata. "Get conversation" page."""
        return self._portal.call(lambda: self._conversation.info())

    def update_metadata(self, metadata: Mapping[str, str]) -> models.ConversationInfo:
        """Set the caller's own metadata of the conversation, which lists can be filtered by."""
        return self._portal.call(lambda: self._conversation.update_metadata(metadata))

    def delete(self) -> None:
        """Delete the conversation and all its contents, for good. "Delete conversation" page."""
        self._portal.call(lambda: self._conversation.delete())

    def members(self) -> Page[models.User]:
        """Return the participants. Conversation API, "Get members" page."""
        return self._portal.call(lambda: self._conversation.members())

    def update_member(
        self, member_id: str, *, name: str, email: str | None = None
    ) -> models.Notice:
        """Name a member. Messages and insights follow, a little later."""
        return self._portal.call(
            lambda: self._conversation.update_member(member_id, name=name, email=email)
        )

    def add_speaker_events(self, events: Iterable[SpeakerEvent]) -> models.Notice:
        """Report who spoke when; messages and insights follow later. "Speaker events" page."""
        return self._portal.call(lambda: self._conversation.add_speaker_events(events))

    def messages(
        self,
        *,
        verbose: bool | None = None,
        sentiment: bool | None = None,
        redact: bool | None = None,
        exclude: Sequence[str] | None = None,
        wait: bool = False,
    ) -> Page[models.Message]:
        """Return the transcript in order, all of it in one page."""
        return self._portal.call(
            lambda: self._conversation.messages(
                verbose=verbose, sentiment=sentiment, redact=redact, exclude=exclude, wait=wait
            )
        )

    def topics(
        self,
        *,
        sentiment: bool | None = None,
        parent_refs: bool | None = None,
        custom_topic_vocabulary: bool | None = None,
        refresh: bool | None = None,
        wait: bool = False,
    ) -> Page[models.Topic]:
        """Return the topics; scores are from 0 to 1."""
        return self._portal.call(
            lambda: self._conversation.topics(
                sentiment=sentiment,
                parent_refs=parent_refs,
                custom_topic_vocabulary=custom_topic_vocabulary,
                refresh=refresh,
                wait=wait,
            )
        )

    def abstract_topics(self, *, wait: bool = False) -> Page[models.AbstractTopic]:
        """Return topics in words that need not have been spoken (labs, "Abstract topics" page)."""
        return self._portal.call(lambda: self._conversation.abstract_topics(wait=wait))

    def questions(self, *, wait: bool = False) -> Page[models.Question]:
        """Return the questions asked. Conversation API, "Get questions" page."""
        return self._portal.call(lambda: self._conversation.questions(wait=wait))

    def action_items(self, *, wait: bool = False) -> Page[models.ActionItem]:
        """Return the tasks, with assignee and due time if spoken. "Get action items" page."""
        return self._portal.call(lambda: self._conversation.action_items(wait=wait))

    def comprehensive_action_items(
        self, *, wait: bool = False
    ) -> Page[models.ComprehensiveActionItem]:
        """Return action items that can be understood without their context."""
        return self._portal.call(lambda: self._conversation.comprehensive_action_items(wait=wait))

    def follow_ups(self, *, wait: bool = False) -> Page[models.FollowUp]:
        """Return the agreed calls, meetings and messages. "Get follow-ups" page."""
        return self._portal.call(lambda: self._conversation.follow_ups(wait=wait))

    def insights(self, *, wait: bool = False) -> Page[models.Insight]:
        """Return questions, action items and follow-ups in one list, each of its own class."""
        return self._portal.call(lambda: self._conversation.insights(wait=wait))

    def entities(self, *, wait: bool = False) -> Page[models.Entity]:
        """Return the named entities: people, dates, places, the caller's own entities."""
        return self._portal.call(lambda: self._conversation.entities(wait=wait))

    def analytics(self, *, wait: bool = False) -> models.Analytics:
        """Return each speaker's time and pace; seconds and percent. "Get analytics" page."""
        return self._portal.call(lambda: self._conversation.analytics(wait=wait))

    def trackers(self, *, wait: bool = False) -> Page[models.DetectedTracker]:
        """Return the detected trackers with their matches."""
        return self._portal.call(lambda: self._conversation.trackers(wait=wait))

    def summary(
        self, *, refresh: bool | None = None, wait: bool = False
    ) -> Page[models.SummaryItem]:
        """Return the summary; the server makes one if there is none yet."""
        return self._portal.call(lambda: self._conversation.summary(refresh=refresh, wait=wait))

    def transcript(
        self,
        format: Literal["markdown", "srt"] = "markdown",
        *,
        paragraphs: bool | None = None,
        speakers: bool | None = None,
        all_phrases: bool | None = None,
        insight_phrases: bool | None = None,
        wait: bool = False,
    ) -> models.FormattedTranscript:
        """Return the transcript as a text that the server formats (a POST that only reads)."""
        return self._portal.call(
            lambda: self._conversation.transcript(
                format,
                paragraphs=paragraphs,
                speakers=speakers,
                all_phrases=all_phrases,
                insight_phrases=insight_phrases,
                wait=wait,
            )
        )

    def intents(self, *, wait: bool = False) -> Page[models.Intent]:
        """Return the intents of a call (newer hosts, "Intents" page)."""
        return self._portal.call(lambda: self._conversation.intents(wait=wait))

    def call_score(self, *, wait: bool = False) -> models.CallScore:
        """Return the score of a call (newer hosts, "Call score" page)."""
        return self._portal.call(lambda: self._conversation.call_score(wait=wait))

    def call_score_status(self) -> models.Progress:
        """Return the progress of the call score (newer hosts)."""
        return self._portal.call(lambda: self._conversation.call_score_status())

    def insights_status(self) -> models.Progress:
        """Return the progress of the insights for the ready-made page (newer hosts)."""
        return self._portal.call(lambda: self._conversation.insights_status())

    def create_experience(
        self,
        name: Literal["verbose-text-summary", "video-summary", "audio-summary"],
        *,
        video_url: str | None = None,
        audio_url: str | None = None,
        logo: str | None = None,
        favicon: str | None = None,
        colors: Colors | None = None,
        font_family: str | None = None,
        summary_url_expires_in: int | None = None,
        read_only: bool | None = None,
        enable_custom_domain: bool | None = None,
        speaker_avatar_urls: Mapping[str, str] | None = None,
    ) -> models.Experience:
        """Create a ready-made page about the conversation, and return its link, a secret."""
        return self._portal.call(
            lambda: self._conversation.create_experience(
                name,
                video_url=video_url,
                audio_url=audio_url,
                logo=logo,
                favicon=favicon,
                colors=colors,
                font_family=font_family,
                summary_url_expires_in=summary_url_expires_in,
                read_only=read_only,
                enable_custom_domain=enable_custom_domain,
                speaker_avatar_urls=speaker_avatar_urls,
            )
        )

    def insights_ui(self, *, include_call_score: bool | None = None) -> models.Experience:
        """Return the link to the ready-made page of the insights, a secret (newer hosts)."""
        return self._portal.call(
            lambda: self._conversation.insights_ui(include_call_score=include_call_score)
        )

    def set_media_url(self, url: str) -> models.Notice:
        """Set the recording's present URL, for the ready-made pages (newer hosts)."""
        return self._portal.call(lambda: self._conversation.set_media_url(url))

    @property
    def bookmarks(self) -> Bookmarks:
        """The bookmarks of the conversation (newer hosts)."""
        return Bookmarks(self._portal, self._conversation.bookmarks)

    def everything(
        self,
        parts: Collection[InsightPart] | None = None,
        *,
        verbose: bool | None = None,
        sentiment: bool | None = None,
        wait: bool = False,
    ) -> Everything:
        """Read the conversation's parts, four requests at a time, into one value."""
        return self._portal.call(
            lambda: self._conversation.everything(
                parts, verbose=verbose, sentiment=sentiment, wait=wait
            )
        )

    def append(
        self, media: MediaLike, options: Options | None = None, *, key: str | None = None
    ) -> Submission:
        """Queue media to be added to this conversation, as ``client.append`` does."""
        return Submission(
            self._portal,
            self._portal.run(lambda: self._conversation.append(media, options, key=key)),
        )

    def resume_appends(self) -> None:
        """Resume appends after an ambiguous one halted the conversation."""
        self._portal.run(lambda: self._conversation.resume_appends())


def inner(handle: str | Submission | Job) -> str | job.Submission | job.Job:
    """Return the handle of ``symbl_aio`` behind one of this module; a text as it is."""
    if isinstance(handle, Submission):
        return handle._submission
    return handle._job if isinstance(handle, Job) else handle
