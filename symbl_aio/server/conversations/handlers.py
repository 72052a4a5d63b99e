"""The calls of the Conversation API: which conversation, which part, which change. Section 6."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from symbl_aio.server.conversations import serializers
from symbl_aio.server.conversations.conversation import Conversation, Conversations
from symbl_aio.server.conversations.list_query import listed
from symbl_aio.server.conversations.speaker_events import laid_over
from symbl_aio.server.conversations.transcript_formats import Format, markdown, srt
from symbl_aio.server.http_json import JSON, RefusedError, answer, flag, link, sent_object
from symbl_aio.server.jobs import Jobs, Status

_NOT_SCORED = "[not scored: this server has no rules by which a call could be scored]"


class Calls:
    """Handles the calls below ``/v1/conversations``.

    What the vendor serves on another host (6.9, 6.21) is here under the same paths.
    """

    def __init__(self, conversations: Conversations, jobs: Jobs) -> None:
        self._conversations = conversations
        self._jobs = jobs

    def routes(self) -> list[web.RouteDef]:
        base = "/v1/conversations/{conversation_id}"
        parts: dict[str, Callable[[Conversation, web.Request], JSON]] = {
            "messages": self._messages,
            "topics": self._topics,
            "questions": lambda c, _: {"questions": serializers.insights(c, c.analysis.questions)},
            "action-items": lambda c, _: {
                "actionItems": serializers.insights(c, c.analysis.action_items)
            },
            "comprehensive/action-items": lambda c, _: {
                "actionItems": serializers.comprehensive(c)
            },
            "follow-ups": lambda c, _: {
                "followUps": serializers.insights(c, c.analysis.follow_ups)
            },
            "insights": self._insights,
            "entities": lambda c, _: {"entities": serializers.entities(c)},
            "members": lambda c, _: {"members": serializers.members(c)},
            "analytics": lambda c, _: serializers.analytics(c),
            "trackers-detected": lambda c, _: serializers.trackers(c),
            "trackers": lambda c, _: serializers.trackers(c),
            "summary": self._summary,
            "abstract-topics": lambda c, _: {"abstractTopics": serializers.abstract_topics(c)},
            "intents": lambda c, _: {"intents": serializers.intents(c)},
            "callscore": self._call_score,
            "callscore/status": self._call_score_status,
            "lm-insights/status": self._features_status,
        }
        return [
            web.get("/v1/conversations", self._list),
            web.put(base, self._update),
            web.delete(base, self._delete),
            web.put(f"{base}/members/{{member_id}}", self._update_member),
            web.put(f"{base}/speakers", self._update_speakers),
            web.post(f"{base}/transcript", self._transcript),
            web.put(f"{base}/experiences/url", self._update_media_url),
            web.get(base, self._part(lambda c, _: serializers.conversation(c))),
            *(web.get(f"{base}/{name}", self._part(part)) for name, part in parts.items()),
        ]

    def _part(
        self, part: Callable[[Conversation, web.Request], JSON]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            return answer(part(self._conversations.of(request), request))

        return handle

    async def _list(self, request: web.Request) -> web.Response:
        chosen = listed(self._conversations.known.values(), request)
        return answer({"conversations": [serializers.conversation(c) for c in chosen]})

    async def _update(self, request: web.Request) -> web.Response:
        """Metadata only (6.3). Keys that are not sent stay; the API does not say."""
        about = self._conversations.of(request)
        metadata = (await sent_object(request)).get("metadata")
        if not isinstance(metadata, dict):
            raise RefusedError(400, '"metadata" is required and must be an object.')
        texts: dict[str, str] = {}
        for key, value in metadata.items():
            if not isinstance(value, str) or len(value) > 128:
                raise RefusedError(
                    400, f'"metadata.{key}" must be a string of at most 128 characters.'
                )
            texts[key] = value
        about.metadata.update(texts)
        return answer({"id": about.id, "metadata": dict(about.metadata)})

    async def _delete(self, request: web.Request) -> web.Response:
        self._conversations.delete(self._conversations.of(request).id)
        return answer({"message": "The conversation was deleted."})

    async def _update_member(self, request: web.Request) -> web.Response:
        about = self._conversations.of(request)
        member_id = request.match_info["member_id"]
        if member_id not in about.members:
            raise RefusedError(404, "The conversation has no member with this id.")
        sent = await sent_object(request)
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
        about = self._conversations.of(request)
        about.replace(laid_over(about, (await sent_object(request)).get("speakerEvents")))
        return answer({"message": f"The speakers of conversation {about.id} were updated."})

    async def _update_media_url(self, request: web.Request) -> web.Response:
        about = self._conversations.of(request)
        url = (await sent_object(request)).get("url")
        if not isinstance(url, str) or not link(url):
            raise RefusedError(400, '"url" is required and must be an http or https link.')
        about.media_url = url
        return answer({"url": url})

    async def _transcript(self, request: web.Request) -> web.Response:
        about = self._conversations.of(request)
        sent = await sent_object(request)
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
        if flag(request, "redact") or "exclude" in request.query:
            # The rules know people by name only if they speak: half a mask is none.
            raise RefusedError(
                400,
                '"redact" and "exclude" are not offered: this server would overlook personal data.',
            )
        verbose, sentiment = flag(request, "verbose"), flag(request, "sentiment")
        return {
            "messages": serializers.messages(
                about, verbose=bool(verbose), sentiment=bool(sentiment)
            )
        }

    def _topics(self, about: Conversation, request: web.Request) -> JSON:
        for name in ("refresh", "customTopicVocabulary", "customVocabulary"):
            flag(request, name)  # the topics are always those of all that was said
        sentiment, parents = flag(request, "sentiment"), flag(request, "parentRefs")
        return {
            "topics": serializers.topics(about, sentiment=bool(sentiment), parents=bool(parents))
        }

    def _insights(self, about: Conversation, request: web.Request) -> JSON:
        found = about.analysis
        mixed = (*found.questions, *found.action_items, *found.follow_ups)
        return {"insights": serializers.insights(about, sorted(mixed, key=lambda i: i.message))}

    def _summary(self, about: Conversation, request: web.Request) -> JSON:
        refresh = flag(request, "refresh")
        if self._jobs.busy(about.id):
            raise RefusedError(404, "There is no summary yet: the conversation is in progress.")
        return {"summary": serializers.summary(about, about.summary(refresh=refresh))}

    def _call_score(self, about: Conversation, request: web.Request) -> JSON:
        """No score is ever invented: it is left out, and the summary says why (6.20)."""
        if self._call_score_status(about, request)["status"] != Status.COMPLETED:
            raise RefusedError(404, "There is no call score (yet).")
        return {"summary": _NOT_SCORED, "criteria": []}

    def _call_score_status(self, about: Conversation, request: web.Request) -> dict[str, JSON]:
        if "callScore" not in about.features:
            raise RefusedError(
                404, 'No call score was asked for: "features" had no "callScore" in it.'
            )
        return self._features_status(about, request)

    def _features_status(self, about: Conversation, request: web.Request) -> dict[str, JSON]:
        job = about.features_job
        if job is None:
            raise RefusedError(404, 'No submission of this conversation asked for "features".')
        return {"jobId": job.id, "status": job.status.value}
