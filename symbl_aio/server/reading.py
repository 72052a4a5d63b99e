"""The calls of the Conversation API: which conversation, which part, which change. Section 6."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from symbl_aio.server import answers
from symbl_aio.server.conversations import Conversation, Conversations
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

    def _messages(self, about: Conversation, request: web.Request) -> JSON:
        verbose, sentiment = flag(request, "verbose"), flag(request, "sentiment")
        return {"messages": answers.messages(about, verbose=verbose, sentiment=sentiment)}

    def _topics(self, about: Conversation, request: web.Request) -> JSON:
        sentiment, parents = flag(request, "sentiment"), flag(request, "parentRefs")
        return {"topics": answers.topics(about, sentiment=sentiment, parents=parents)}

    def _insights(self, about: Conversation, request: web.Request) -> JSON:
        found = about.analysis
        mixed = (*found.questions, *found.action_items, *found.follow_ups)
        return {"insights": answers.insights(about, sorted(mixed, key=lambda i: i.message))}

    def _summary(self, about: Conversation, request: web.Request) -> JSON:
        raise RefusedError(404, "There is no summary of this conversation.")


def flag(request: web.Request, name: str) -> bool:
    """A boolean of the query; absent is false."""
    value = request.query.get(name, "false")
    if value not in ("true", "false"):
        raise RefusedError(400, f'"{name}" must be true or false.')
    return value == "true"
