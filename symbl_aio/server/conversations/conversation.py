"""A conversation: utterances, members, settings, analysis, bookmarks. API section 6."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from attrs import define, evolve, field, frozen

from symbl_aio.server.http_json import JSON
from symbl_aio.server.ids import derived_id
from symbl_aio.server.language.analysis_values import (
    Analysis,
    Analytics,
    CustomEntity,
    Speaker,
    Tracker,
    Utterance,
)
from symbl_aio.server.language.phrase_index import size_of_phrases
from symbl_aio.server.language.summary import choose_summary
from symbl_aio.server.language.talk_time import measure_talk_time
from symbl_aio.server.thread_pool import ComputingThreads

if TYPE_CHECKING:  # the rules of language, imported when a conversation is first analysed
    from symbl_aio.server.language.pipeline import ConversationAnalyser

logger = logging.getLogger("symbl_aio.server")

# A text of this length is analysed faster than a thread takes it over, and it is shorter
# than what the event loop does at a time elsewhere.
_MAX_INLINE_CHARACTERS = 2000

_MAX_ANALYSIS_SECONDS = 60

# Characters of the names of all speakers: each list of conversations has them all.
_MAX_NAMES = 1024**2
_LEAST_NAME = 50


@define
class Settings:
    """The analysis settings of all submissions; an append adds to them and removes none."""

    confidence_threshold: float = 0.5
    detect_phrases: bool = False
    detect_entities: bool = False
    summary: bool = False
    custom_entities: tuple[CustomEntity, ...] = ()
    trackers: tuple[Tracker, ...] = ()
    _vocabulary_size: int | None = field(default=None, init=False, repr=False, eq=False)

    @property
    def vocabulary_size(self) -> int:
        """The size of all phrases that are looked for; counted once, since each commit reads it."""
        if self._vocabulary_size is None:
            self._vocabulary_size = self._count_vocabulary()
        return self._vocabulary_size

    def _count_vocabulary(self) -> int:
        trackers = (p for t in self.trackers for p in (t.name, *t.vocabulary, *t.excluded))
        entities = (p for e in self.custom_entities for p in (e.custom_type, e.text, e.value or ""))
        return size_of_phrases(chain(trackers, entities))


@frozen
class Bookmark:
    """A marked range of a conversation, in seconds from its start.

    ``messages``: the indexes of the marked messages, or None if a time was marked. Texts
    that the caller left out are None.
    """

    id: str
    begin: float
    duration: float
    messages: tuple[int, ...] | None
    label: str | None
    description: str | None
    user: dict[str, JSON] | None


class ConversationHead(Protocol):
    """The fields that a list of conversations shows, filters and orders by."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def ended_at(self) -> datetime: ...
    @property
    def metadata(self) -> Mapping[str, str]: ...
    @property
    def members(self) -> Mapping[str, Speaker]: ...


@define(eq=False)
class Conversation:
    """A conversation. ``started_at`` is second 0 of every utterance in it.

    ``notices``: messages of the server itself, which are not analysed. ``features``: those
    of the last submission that requested any; ``features_job`` is the id of its job.
    ``media_url``: the URL of the recording, as set by the caller.

    A conversation that readers may see is never changed: a writer changes its ``draft()``,
    which replaces it once it is stored.
    """

    id: str
    name: str
    started_at: datetime
    metadata: dict[str, str] = field(factory=dict)
    settings: Settings = field(factory=Settings)
    utterances: list[Utterance] = field(factory=list)
    members: dict[str, Speaker] = field(factory=dict)
    duration: float = 0.0
    notices: set[str] = field(factory=set)
    bookmarks: dict[str, Bookmark] = field(factory=dict)
    bookmarks_made: int = 0
    features: tuple[str, ...] = ()
    features_job: str | None = None
    media_url: str | None = None
    aliases: dict[str, str] = field(factory=dict)
    summarised: tuple[int, ...] = ()
    summarised_count: int = 0
    _analysis: Analysis | None = None
    _analytics: Analytics | None = None
    # Shared by the drafts of a conversation: it examines only the utterances that are new.
    _analyser: ConversationAnalyser | None = None

    def draft(self) -> Conversation:
        """Return a copy that can be changed without effect on this one."""
        # In the order of the fields, and without evolve(), which takes five times as long: each
        # job makes a draft.
        return Conversation(
            self.id,
            self.name,
            self.started_at,
            dict(self.metadata),
            self.settings,
            list(self.utterances),
            dict(self.members),
            self.duration,
            set(self.notices),
            dict(self.bookmarks),
            self.bookmarks_made,
            self.features,
            self.features_job,
            self.media_url,
            dict(self.aliases),
            self.summarised,
            self.summarised_count,
            self._analysis,
            self._analytics,
            self._analyser,
        )

    @property
    def ended_at(self) -> datetime:
        return self.started_at + timedelta(seconds=self.duration)

    @property
    def size(self) -> int:
        """The characters of a text that takes as much memory with its analysis: 20 bytes each."""
        return (
            sum(len(utterance.text) for utterance in self.utterances)
            + 50 * len(self.utterances)
            + 100 * len(self.members)
            + 20 * len(self.metadata)
            + 500 * len(self.bookmarks)
            + self.settings.vocabulary_size
        )

    @property
    def analysis(self) -> Analysis:
        """The analysis of everything published so far, computed on first use.

        Await ``analyse()`` before, where the event loop must not wait for a long text.
        """
        if self._analysis is None:
            self._analysis = self._update(self._current_analyser(), tuple(self.utterances))
        return self._analysis

    @property
    def analytics(self) -> Analytics:
        """The talk times, computed on first use: few read them, and each word changes them."""
        if self._analytics is None:
            self._analytics = measure_talk_time(self.utterances)
        return self._analytics

    @property
    def message_order(self) -> Sequence[int]:
        """The indexes of the messages in the order of their times.

        An append may have earlier times than what was there before it. The ids of messages are
        made from their indexes, so those stay.
        """
        starts = [message.start for message in self.analysis.messages]
        return sorted(range(len(starts)), key=starts.__getitem__)

    async def analyse(self, threads: ComputingThreads) -> None:
        """Compute the analysis, in one of the threads if there is much text."""
        if self._analysis is None:
            if self._analyser is None and self.settings.vocabulary_size > _MAX_INLINE_CHARACTERS:
                await threads.run(self._current_analyser)
            analyser, utterances = self._current_analyser(), tuple(self.utterances)
            if analyser.characters_to_examine(utterances) > _MAX_INLINE_CHARACTERS:
                self._analysis = await threads.run(self._update, analyser, utterances)

    def _current_analyser(self) -> ConversationAnalyser:
        if self._analyser is None:
            from symbl_aio.server.language.pipeline import ConversationAnalyser

            settings = self.settings
            self._analyser = ConversationAnalyser(
                started_at=self.started_at,
                custom_entities=settings.custom_entities,
                trackers=settings.trackers,
                confidence_threshold=settings.confidence_threshold,
                detect_entities=settings.detect_entities,
                detect_phrases=settings.detect_phrases,
            )
        return self._analyser

    def _update(
        self, analyser: ConversationAnalyser, utterances: tuple[Utterance, ...]
    ) -> Analysis:
        deadline = time.monotonic() + _MAX_ANALYSIS_SECONDS
        analysis = analyser.update(utterances, stop=lambda: time.monotonic() > deadline)
        if time.monotonic() > deadline:
            logger.warning(
                "conversation %s: its last messages have no insights, since the analysis "
                "was ended after %d s",
                self.id,
                _MAX_ANALYSIS_SECONDS,
            )
        return _drop_notices(analysis, self.notices) if self.notices else analysis

    def summary(self, *, refresh: bool | None) -> tuple[int, ...]:
        """Return the indexes of the messages that form the summary; none for a short conversation.

        ``refresh`` True recomputes it, False extends it by the messages since then, None
        computes it only if there is none, or extends it if a submission asked for a summary.
        API section 6.18.
        """
        if refresh or not self.summarised:
            self.summarised, self.summarised_count = (), 0
        elif refresh is None and not self.settings.summary:
            return self.summarised
        count = len(self.analysis.messages)
        if chosen := choose_summary(self.analysis, range(self.summarised_count, count)):
            self.summarised += chosen
            self.summarised_count = count
        return self.summarised

    def too_many_speakers(self) -> str | None:
        """Return why a job, or a call, may not add these speakers; ``None`` if it may."""
        size = sum(
            _LEAST_NAME + len(m.name or "") + len(m.email or "") for m in self.members.values()
        )
        if size <= _MAX_NAMES:
            return None
        return (
            f"the names and emails of all speakers may have {_MAX_NAMES:,} characters, "
            f"{_LEAST_NAME} more for each"
        )

    def get_or_add_speaker(self, name: str | None, email: str | None) -> Speaker | None:
        """Return the member with this email or else this name; add one if there is none."""
        # The email identifies a person; a name does so only without one.
        key = (email or name or "").casefold()
        if not key:
            return None
        member_id = self.aliases.get(key)
        if member_id is None:
            member_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.id}/{key}"))
            self.aliases[key] = member_id
            self.members[member_id] = Speaker(member_id, name or email, email)
        return self.members[member_id]

    def set_zone(self, zone: tzinfo) -> None:
        """Read "5 pm" and "tomorrow" as times of this zone; the instants stay."""
        moved = self.started_at.astimezone(zone)
        # An append in the same zone must not cost the analysis of everything before it.
        if moved.utcoffset() != self.started_at.utcoffset():
            self._analyser = self._analysis = None
        self.started_at = moved

    def begin_at(self, instant: datetime) -> None:
        """Move the start to ``instant`` if that is earlier; all other times stay as they are."""
        shift = (self.started_at - instant).total_seconds()
        if shift <= 0:
            return
        self.started_at = instant.astimezone(self.started_at.tzinfo)
        self.duration += shift
        self.bookmarks = {
            mark.id: evolve(mark, begin=mark.begin + shift) for mark in self.bookmarks.values()
        }
        self._analyser = None
        self.replace_utterances(
            [evolve(u, start=u.start + shift, end=u.end + shift) for u in self.utterances]
        )

    def publish(self, utterances: Sequence[Utterance], duration: float, settings: Settings) -> None:
        """Add the utterances of a completed job, which end by second ``duration``."""
        self.utterances.extend(utterances)
        self.duration = max(self.duration, duration, *(u.end for u in utterances))
        if settings is not self.settings and settings != self.settings:
            self._analyser = None
        self.settings = settings
        self._analysis = self._analytics = None

    def update_member(self, member_id: str, name: str, email: str | None) -> None:
        """Change a member everywhere; members with the same email become one.

        Two with the same name stay two: they may be namesakes, or names that a caller swaps.
        """
        before = self.members[member_id]
        member = evolve(before, name=name, email=email)
        key = (email or "").casefold()
        same = (m.id for m in self.members.values() if key and (m.email or "").casefold() == key)
        existing_id = next(same, member_id)
        if existing_id != member_id:
            member = evolve(member, id=existing_id)
            del self.members[member_id]
        self.members[existing_id] = member
        self.aliases = {
            alias: existing_id if target == member_id else target
            for alias, target in self.aliases.items()
        }
        if key:
            self.aliases[key] = existing_id
        # A name that a later submission has is that of the member who has it now, if there is one.
        for label in ((before.name or "").casefold(), name.casefold()):
            named = (
                m.id
                for m in self.members.values()
                if not m.email and (m.name or "").casefold() == label
            )
            if (holder := next(named, None)) is not None:
                self.aliases[label] = holder
        self.replace_utterances(
            [
                evolve(utterance, speaker=member)
                if utterance.speaker and utterance.speaker.id in (member_id, existing_id)
                else utterance
                for utterance in self.utterances
            ]
        )

    def replace_utterances(self, utterances: list[Utterance]) -> None:
        """Replace all utterances; the next read analyses them."""
        self.utterances = utterances
        self._analysis = self._analytics = None

    def item_id(self, kind: str, *parts: object) -> str:
        """Return a stable id of sixteen digits for an item found in this conversation."""
        return derived_id(self.id, kind, *parts)

    def message_id(self, index: int) -> str:
        return self.item_id("message", index)


def _drop_notices(analysis: Analysis, notices: Collection[str]) -> Analysis:
    """Return the analysis without items found in messages of the server itself."""
    own = {index for index, message in enumerate(analysis.messages) if message.text in notices}
    return evolve(
        analysis,
        questions=tuple(i for i in analysis.questions if i.message not in own),
        action_items=tuple(i for i in analysis.action_items if i.message not in own),
        follow_ups=tuple(i for i in analysis.follow_ups if i.message not in own),
        topics=tuple(t for t in analysis.topics if own.isdisjoint(t.messages)),
        entities=tuple(e for e in analysis.entities if e.message not in own),
        trackers=tuple(t for t in analysis.trackers if t.message not in own),
    )
