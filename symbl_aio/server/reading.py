"""The calls of the Conversation API: which conversation, which part, which change. Section 6."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from symbl_aio.server import answers
from symbl_aio.server.conversations import Conversation, Conversations
from symbl_aio.server.formatted import Format, markdown, srt
from symbl_aio.server.listing import listed
from symbl_aio.server.speakers import laid_over
from symbl_aio.server.wire import JSON, RefusedError, answer

_UNKNOWN = "The conversation is unknown: its id is invalid or it was deleted."


class Reading:
    """Handles the calls below ``/v1/conversations``."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    def routes(self) -> list[web.RouteDef]:
        base = "/v1/conversations/{conversation_id}"
        parts: dict[str, Callable[[Conversation, web.Request], JSON]] = {
            "messages": self._messages,
            "topics": self._topics,
            "questions": lambda c, _: {"questions": answers.insights(c, c.analysis.questions)},
            "action-items": lambda c, _: {
                "actionItems": answers.insights(c, c.analysis.action_items)
            },
            "comprehensive/action-items": lambda c, _: {"actionItems": answers.comprehensive(c)},
            "follow-ups": lambda c, _: {"followUps": answers.insights(c, c.analysis.follow_ups)},
            "insights": self._insights,
            "entities": lambda c, _: {"entities": answers.entities(c)},
            "members": lambda c, _: {"members": answers.members(c)},
            "analytics": lambda c, _: answers.analytics(c),
            "trackers-detected": lambda c, _: answers.trackers(c),
            "trackers": lambda c, _: answers.trackers(c),
            "summary": self._summary,
        }
        return [
            web.get("/v1/conversations", self._list),
            web.put(base, self._update),
            web.delete(base, self._delete),
            web.put(f"{base}/members/{{member_id}}", self._update_member),
            web.put(f"{base}/speakers", self._update_speakers),
            web.post(f"{base}/transcript", self._transcript),
            web.get(base, self._part(lambda c, _: answers.conversation(c))),
            *(web.get(f"{base}/{name}", self._part(part)) for name, part in parts.items()),
        ]

    def _part(
        self, part: Callable[[Conversation, web.Request], JSON]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            return answer(part(self._found(request), request))

        return handle

    def _found(self, request: web.Request) -> Conversation:
        found = self._conversations.get(request.match_info["conversation_id"])
        if found is None:
            raise RefusedError(404, _UNKNOWN)
        return found

    async def _list(self, request: web.Request) -> web.Response:
        chosen = listed(self._conversations.known.values(), request)
        return answer({"conversations": [answers.conversation(c) for c in chosen]})

    async def _update(self, request: web.Request) -> web.Response:
        """Metadata only (6.3). Keys that are not sent stay; the API does not say."""
        about = self._found(request)
        metadata = (await fields(request)).get("metadata")
        if not isinstance(metadata, dict):
            raise RefusedError(400, '"metadata" is required and must be an object.')
        for key, value in metadata.items():
            if not isinstance(value, str) or len(value) > 128:
                raise RefusedError(
                    400, f'"metadata.{key}" must be a string of at most 128 characters.'
                )
            about.metadata[key] = value
        return answer({"id": about.id, "metadata": dict(about.metadata)})

    async def _delete(self, request: web.Request) -> web.Response:
        self._conversations.delete(self._found(request).id)
        return answer({"message": "The conversation was deleted."})

    async def _update_member(self, request: web.Request) -> web.Response:
        about = self._found(request)
        member_id = request.match_info["member_id"]
        if member_id not in about.members:
            raise RefusedError(404, "The conversation has no member with this id.")
        sent = await fields(request)
        name, email = sent.get("name"), sent.get("email")
        if sent.get("id") != member_id:
            raise RefusedError(400, '"id" is required and must be the id in the path.')
        if not isinstance(name, str) or not name.strip():
            raise RefusedError(400, '"name" is required and must be text.')
        if not isinstance(email, str | None):
            raise RefusedError(400, '"email" must be a string.')
        about.rename(member_id, name, email or None)
        return answer({"message": f"Member {member_id} of conversation {about.id} was updated."})

    async def _update_speakers(self, request: web.Request) -> web.Response:
        about = self._found(request)
        about.replace(laid_over(about, (await fields(request)).get("speakerEvents")))
        return answer({"message": f"The speakers of conversation {about.id} were updated."})

    async def _transcript(self, request: web.Request) -> web.Response:
        about = self._found(request)
        sent = await fields(request)
        phrases = sent.get("phrases")
        asked = phrases if isinstance(phrases, dict) else {}
        wanted = Format(
            paragraphs=sent.get("createParagraphs") is True,
            speakers=sent.get("showSpeakerSeparation") is True,
            all_phrases=asked.get("highlightAllKeyPhrases") is True,
            insight_phrases=asked.get("highlightOnlyInsightKeyPhrases") is True,
        )
        kind = sent.get("contentType")
        payload: JSON
        if kind == "text/markdown":
            payload = markdown(about, wanted)
        elif kind == "text/srt":
            payload = {"content": srt(about, wanted), "contentType": "text/srt"}
        else:
            raise RefusedError(400, '"contentType" must be text/markdown or text/srt.')
        return answer({"transcript": {"payload": payload, "contentType": kind}})

    def _messages(self, about: Conversation, request: web.Request) -> JSON:
        if flag(request, "redact"):
            raise RefusedError(400, '"redact" is not offered by this server.')
        verbose, sentiment = flag(request, "verbose"), flag(request, "sentiment")
        return {"messages": answers.messages(about, verbose=verbose, sentiment=sentiment)}

    def _topics(self, about: Conversation, request: web.Request) -> JSON:
        flag(request, "refresh")
        sentiment, parents = flag(request, "sentiment"), flag(request, "parentRefs")
        return {"topics": answers.topics(about, sentiment=sentiment, parents=parents)}

    def _insights(self, about: Conversation, request: web.Request) -> JSON:
        found = about.analysis
        mixed = (*found.questions, *found.action_items, *found.follow_ups)
        return {"insights": answers.insights(about, sorted(mixed, key=lambda i: i.message))}

    def _summary(self, about: Conversation, request: web.Request) -> JSON:
        raise RefusedError(404, "There is no summary of this conversation.")


async def fields(request: web.Request) -> dict[str, JSON]:
    """The JSON object that a request brings."""
    try:
        body: JSON = await request.json()
    except ValueError:
        raise RefusedError(400, "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "The body must be a JSON object.")
    return body


def flag(request: web.Request, name: str) -> bool:
    """A boolean of the query; absent is false."""
    value = request.query.get(name, "false")
    if value not in ("true", "false"):
        raise RefusedError(400, f'"{name}" must be true or false.')
    return value == "true"
