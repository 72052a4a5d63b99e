"""Who spoke when, as told from outside, laid over what was said. API section 6.15."""

from __future__ import annotations

from attrs import evolve

from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.http_json import JSON, RefusedError
from symbl_aio.server.language.pipeline import Speaker, Utterance


def laid_over(conversation: Conversation, events: JSON) -> list[Utterance]:
    """Give each utterance the speaker who spoke most of its time; the others stay as they are."""
    turns = _turns(conversation, events)

    def fitted(said: Utterance) -> Utterance:
        seconds: dict[str, float] = {}
        people: dict[str, Speaker] = {}
        for who, start, end in turns:
            if (together := min(end, said.end) - max(start, said.start)) > 0:
                seconds[who.id] = seconds.get(who.id, 0.0) + together
                people[who.id] = who
        if not seconds:
            return said
        return evolve(said, speaker=people[max(seconds, key=seconds.__getitem__)])

    return [fitted(said) for said in conversation.utterances]


def _turns(conversation: Conversation, events: JSON) -> list[tuple[Speaker, float, float]]:
    if not isinstance(events, list):
        raise RefusedError(400, '"speakerEvents" is required and must be a list.')
    # All are read before the first makes a member: a refusal changes nothing.
    read = [_read(event, f'"speakerEvents[{index}]') for index, event in enumerate(events)]
    turns: list[tuple[Speaker, float, float]] = []
    since: dict[str, float] = {}
    people: dict[str, Speaker] = {}
    for kind, name, email, at in read:
        who = conversation.speaker(name, email)
        assert who is not None
        people[who.id] = who
        if kind == "started_speaking":
            since.setdefault(who.id, at)
        elif who.id in since:
            turns.append((who, since.pop(who.id), at))
    # Whoever did not stop went on to the end.
    turns.extend((people[key], start, float("inf")) for key, start in since.items())
    return turns


def _read(event: JSON, where: str) -> tuple[str, str | None, str | None, float]:
    if not isinstance(event, dict):
        raise RefusedError(400, f'{where}" must be an object.')
    kind, user, offset = event.get("type"), event.get("user"), event.get("offset")
    if kind not in ("started_speaking", "stopped_speaking"):
        raise RefusedError(400, f'{where}.type" must be started_speaking or stopped_speaking.')
    if not isinstance(user, dict) or not isinstance(offset, dict):
        raise RefusedError(400, f'{where}" must have "user" and "offset", both objects.')
    name, email = (v if isinstance(v := user.get(k), str) else None for k in ("name", "email"))
    if not name and not email:
        raise RefusedError(400, f'{where}.user" must have a name or an email.')
    seconds, nanos = offset.get("seconds", 0), offset.get("nanos", 0)
    if not isinstance(seconds, int | float) or not isinstance(nanos, int | float):
        raise RefusedError(400, f'{where}.offset" must have numbers: "seconds", "nanos".')
    return str(kind), name, email, seconds + nanos / 1e9
