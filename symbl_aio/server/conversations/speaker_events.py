"""Assign speakers to utterances from speaker events of the caller. API section 6.15."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import evolve

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.field_rules import MAX_NAME, is_name, read_number
from symbl_aio.server.http_json import JSON, ApiError
from symbl_aio.server.language.analysis_values import Speaker, Utterance

# Turns that are compared again for the next utterance: those of a crowd who never stop, for each
# of many utterances, would take minutes.
_MAX_CONTINUING = 16


def check_speakers(conversation: Conversation) -> None:
    """Raise a 400 ``ApiError`` if a change has made the names of its speakers too long."""
    if (reason := conversation.too_many_speakers()) is not None:
        raise ApiError(400, f"This would be too much: {reason}.")


def apply_speaker_events(conversation: Conversation, events: JSON) -> list[Utterance]:
    """Return the utterances, each with the speaker of most of its time; others are unchanged.

    Of more than sixteen turns that began before an utterance, the last ones count.
    """
    turns = sorted(_turns(conversation, events), key=lambda turn: turn[1])
    in_order = sorted(range(len(conversation.utterances)), key=_start_of(conversation))
    result = list(conversation.utterances)
    # One pass over both: only the turns that may still overlap are compared.
    active: list[tuple[Speaker, float, float]] = []
    started = 0
    for index in in_order:
        utterance = result[index]
        active = [turn for turn in active if turn[2] > utterance.start][-_MAX_CONTINUING:]
        while started < len(turns) and turns[started][1] < utterance.end:
            active.append(turns[started])
            started += 1
        result[index] = _with_main_speaker(utterance, active)
    return result


def _start_of(conversation: Conversation) -> Callable[[int], float]:
    return lambda index: conversation.utterances[index].start


def _with_main_speaker(
    utterance: Utterance, turns: Iterable[tuple[Speaker, float, float]]
) -> Utterance:
    seconds: dict[str, float] = {}
    speakers: dict[str, Speaker] = {}
    for speaker, start, end in turns:
        if (shared := min(end, utterance.end) - max(start, utterance.start)) > 0:
            seconds[speaker.id] = seconds.get(speaker.id, 0.0) + shared
            speakers[speaker.id] = speaker
    if not seconds:
        return utterance
    return evolve(utterance, speaker=speakers[max(seconds, key=seconds.__getitem__)])


def _turns(conversation: Conversation, events: JSON) -> list[tuple[Speaker, float, float]]:
    if not isinstance(events, list):
        raise ApiError(400, '"speakerEvents" is required and must be a list.')
    # All events are parsed before the first adds a member: a refusal changes nothing.
    members = dict(conversation.members)
    parsed = [
        _parse_event(event, f'"speakerEvents[{index}]', members)
        for index, event in enumerate(events)
    ]
    # By time: clients that gather the events of several speakers send them one after the other.
    parsed.sort(key=lambda event: event[-1])
    turns: list[tuple[Speaker, float, float]] = []
    speaking_since: dict[str, float] = {}
    speakers: dict[str, Speaker] = {}
    for kind, member, name, email, at in parsed:
        speaker = member or conversation.get_or_add_speaker(name, email)
        assert speaker is not None
        speakers[speaker.id] = speaker
        if kind == "started_speaking":
            speaking_since.setdefault(speaker.id, at)
        elif speaker.id in speaking_since:
            turns.append((speaker, speaking_since.pop(speaker.id), at))
    check_speakers(conversation)
    # A speaker without a stop event speaks until the end.
    turns.extend((speakers[key], start, float("inf")) for key, start in speaking_since.items())
    return turns


def _parse_event(
    event: JSON, where: str, members: Mapping[str, Speaker]
) -> tuple[str, Speaker | None, str | None, str | None, float]:
    """Return the kind of an event, its member if the id is one's, name, email and second."""
    if not isinstance(event, dict):
        raise ApiError(400, f'{where}" must be an object.')
    kind, user, offset = event.get("type"), event.get("user"), event.get("offset")
    if kind not in ("started_speaking", "stopped_speaking"):
        raise ApiError(400, f'{where}.type" must be started_speaking or stopped_speaking.')
    if not isinstance(user, dict) or not isinstance(offset, dict):
        raise ApiError(400, f'{where}" must have "user" and "offset", both objects.')
    name, email = (v if isinstance(v := user.get(k), str) else None for k in ("name", "email"))
    if not is_name(name) or not is_name(email):
        raise ApiError(400, f'{where}.user" must have texts of at most {MAX_NAME} characters.')
    # Clients have ids of their own, too.
    member = members.get(str(user.get("id")))
    if not name and not email and member is None:
        raise ApiError(400, f'{where}.user" must have a name or an email.')
    seconds, nanos = (read_number(offset.get(unit, 0)) for unit in ("seconds", "nanos"))
    if not isinstance(seconds, int | float) or not isinstance(nanos, int | float):
        raise ApiError(400, f'{where}.offset" must have numbers: "seconds", "nanos".')
    return str(kind), member, name, email, seconds + nanos / 1e9
