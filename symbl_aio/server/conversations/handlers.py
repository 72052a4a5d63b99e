"""Handlers of the Conversation API. Section 6."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from aiohttp import web

from symbl_aio.server.conversations import serializers
from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.conversations.list_query import list_response
from symbl_aio.server.conversations.registry import Conversations
from symbl_aio.server.conversations.speaker_events import apply_speaker_events, check_speakers
from symbl_aio.server.conversations.transcript_formats import TranscriptFormat, markdown, srt
from symbl_aio.server.field_rules import (
    FLAG,
    MAX_NAME,
    FieldRule,
    is_name,
    is_object,
    is_text_list,
    read_fields,
    read_lower_case,
)
from symbl_aio.server.html_pages import PageHandlers
from symbl_aio.server.http_json import (
    JSON,
    ApiError,
    LongJSON,
    is_http_url,
    json_response,
    long_json_response,
    parse_json,
    query_flag,
    query_text,
)
from symbl_aio.server.job import Status
from symbl_aio.server.job_queue import Jobs
from symbl_aio.server.language.redaction import Redactor
from symbl_aio.server.option_support import TRANSCRIPTS, UnknownOptions
from symbl_aio.server.request_body import read_json_object

# The answers about a longer one are made in a thread: other callers need not wait for them.
_MAX_INLINE_MESSAGES = 100

_FORMATS = ("text/markdown", "text/srt")
_TRANSCRIPT_RULES: Mapping[str, FieldRule] = {
    "contentType": FieldRule(_FORMATS.__contains__, " or ".join(_FORMATS), read_lower_case),
    "createParagraphs": FLAG,
    "showSpeakerSeparation": FLAG,
    "phrases": FieldRule(is_object, "an object"),
    "highlightAllKeyPhrases": FLAG,
    "highlightOnlyInsightKeyPhrases": FLAG,
}

_MAX_METADATA = 200  # entries; each list of conversations has them all

_NOT_SCORED = "[not scored: this server has no rules by which a call could be scored]"


class ConversationHandlers:
    """Handles the calls below ``/v1/conversations``.

    Two calls that the vendor serves on another host (6.9, 6.21) have the same paths here.
    """

    def __init__(self, conversations: Conversations, jobs: Jobs, pages: PageHandlers) -> None:
        self._conversations = conversations
        self._jobs = jobs
        self._pages = pages
        self._unknown_options = UnknownOptions(TRANSCRIPTS)

    def routes(self) -> list[web.RouteDef]:
        base = "/v1/conversations/{conversation_id}"
        parts: dict[str, Callable[[Conversation, web.Request], LongJSON]] = {
            "topics": self._topics,
            "questions": lambda c, _: {"questions": serializers.insights(c, c.analysis.questions)},
            "action-items": lambda c, _: {
                "actionItems": serializers.insights(c, c.analysis.action_items)
            },
            "comprehensive/action-items": lambda c, _: {
                "actionItems": serializers.comprehensive_action_items(c)
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
            "abstract-topics": lambda c, _: {"abstractTopics": serializers.abstract_topics(c)},
            "intents": lambda c, _: {"intents": serializers.intents(c)},
        }
        return [
            web.get("/v1/conversations", self._list),
            web.get(f"{base}/messages", self._get_messages),
            web.put(base, self._update),
            web.delete(base, self._delete),
            web.put(f"{base}/members/{{member_id}}", self._update_member),
            web.put(f"{base}/speakers", self._update_speakers),
            web.post(f"{base}/transcript", self._transcript),
            web.put(f"{base}/experiences/url", self._update_media_url),
            web.get(f"{base}/summary", self._summary),
            web.post(f"{base}/summary", self._post_summary),
            web.get(f"{base}/callscore", self._call_score),
            web.get(f"{base}/callscore/status", self._call_score_status),
            web.get(f"{base}/lm-insights/status", self._features_status),
            web.get(
                base,
                partial(self._get_part, serialize=lambda c, _: serializers.conversation_item(c)),
            ),
            *(
                web.get(f"{base}/{name}", partial(self._get_part, serialize=serialize))
                for name, serialize in parts.items()
            ),
        ]

    async def _get_part(
        self, request: web.Request, serialize: Callable[[Conversation, web.Request], LongJSON]
    ) -> web.Response:
        conversation = await self._conversations.analysed(request)
        return await long_json_response(
            lambda: serialize(conversation, request),
            self._conversations.threads,
            in_thread=len(conversation.analysis.messages) > _MAX_INLINE_MESSAGES,
        )

    async def _list(self, request: web.Request) -> web.Response:
        return await list_response(self._conversations, request)

    async def _update(self, request: web.Request) -> web.Response:
        """Set metadata (6.3). Keys that are not sent are kept; the API leaves this open."""
        conversation = await self._conversations.from_request(request)
        metadata = (await read_json_object(request)).get("metadata")
        if not isinstance(metadata, dict):
            raise ApiError(400, '"metadata" is required and must be an object.')
        texts: dict[str, str] = {}
        for key, value in metadata.items():
            if not isinstance(value, str) or max(len(key), len(value)) > 128:
                raise ApiError(
                    400, f'"metadata.{key[:128]}" must be a string of at most 128 characters.'
                )
            texts[key] = value
        async with self._conversations.change(conversation.id) as changed:
            changed.metadata.update(texts)
            if len(changed.metadata) > _MAX_METADATA:
                raise ApiError(400, f'"metadata" has {_MAX_METADATA} entries at most.')
        return json_response({"id": changed.id, "metadata": dict(changed.metadata)})

    async def _delete(self, request: web.Request) -> web.Response:
        conversation_id = request.match_info["conversation_id"]
        await self._conversations.delete(conversation_id)
        self._jobs.forget_conversation(conversation_id)
        return json_response({"message": "The conversation was deleted."})

    async def _update_member(self, request: web.Request) -> web.Response:
        conversation = await self._conversations.from_request(request)
        member_id = request.match_info["member_id"]
        if member_id not in conversation.members:
            raise ApiError(404, "The conversation has no member with this id.")
        fields = await read_json_object(request)
        name, email = fields.get("name"), fields.get("email")
        if fields.get("id") != member_id:
            raise ApiError(400, '"id" is required and must be the id in the path.')
        if not isinstance(name, str) or not name.strip() or not is_name(name):
            raise ApiError(400, f'"name" is required: text of at most {MAX_NAME} characters.')
        if not isinstance(email, str | None) or not is_name(email):
            raise ApiError(400, f'"email" must be a string of at most {MAX_NAME} characters.')
        async with self._conversations.change(conversation.id) as changed:
            # Another change may have merged this member meanwhile.
            if member_id in changed.members:
                changed.update_member(member_id, name, email or changed.members[member_id].email)
            check_speakers(changed)
        return json_response(
            {"message": f"Member {member_id} of conversation {conversation.id} was updated."}
        )

    async def _update_speakers(self, request: web.Request) -> web.Response:
        conversation = await self._conversations.from_request(request)
        events = (await read_json_object(request)).get("speakerEvents")
        async with self._conversations.change(conversation.id) as changed:
            spoken = await self._conversations.threads.run(apply_speaker_events, changed, events)
            changed.replace_utterances(spoken)
        return json_response(
            {"message": f"The speakers of conversation {conversation.id} were updated."}
        )

    async def _update_media_url(self, request: web.Request) -> web.Response:
        conversation = await self._conversations.from_request(request)
        url = (await read_json_object(request)).get("url")
        if not isinstance(url, str) or not is_http_url(url):
            raise ApiError(400, '"url" is required and must be an http or https link.')
        async with self._conversations.change(conversation.id) as changed:
            changed.media_url = url
        return json_response({"url": url})

    async def _transcript(self, request: web.Request) -> web.Response:
        body = await read_json_object(request)
        conversation = await self._conversations.analysed(request)
        phrases = body.get("phrases")
        # The two of "phrases" have names of their own, so one table has all.
        fields = read_fields(
            _TRANSCRIPT_RULES, {**body, **(phrases if isinstance(phrases, dict) else {})}
        )
        self._unknown_options.name(fields)
        if (kind := fields.get("contentType")) is None:
            raise ApiError(
                400, f'"contentType" must be {_TRANSCRIPT_RULES["contentType"].expected}.'
            )
        options = TranscriptFormat(
            paragraphs=fields.get("createParagraphs") is True,
            speakers=fields.get("showSpeakerSeparation") is True,
            all_phrases=fields.get("highlightAllKeyPhrases") is True,
            insight_phrases=fields.get("highlightOnlyInsightKeyPhrases") is True,
        )
        write = markdown if kind == "text/markdown" else srt

        def make() -> LongJSON:
            return {"transcript": {"payload": write(conversation, options), "contentType": kind}}

        return await long_json_response(make, self._conversations.threads)

    async def _get_messages(self, request: web.Request) -> web.Response:
        response = await self._get_part(request, self._messages)
        if query_flag(request, "redact"):
            # The rules find what has a form; a caller must not take that for all of it.
            response.headers["X-Redaction"] = "partial"
        return response

    def _messages(self, conversation: Conversation, request: web.Request) -> LongJSON:
        verbose, sentiment = query_flag(request, "verbose"), query_flag(request, "sentiment")
        return {
            "messages": serializers.messages(
                conversation,
                verbose=bool(verbose),
                sentiment=bool(sentiment),
                redactor=_redactor(conversation, request),
            )
        }

    def _topics(self, conversation: Conversation, request: web.Request) -> JSON:
        for name in ("refresh", "customTopicVocabulary", "customVocabulary"):
            query_flag(request, name)  # validated only: topics always cover the whole conversation
        sentiment, parents = query_flag(request, "sentiment"), query_flag(request, "parentRefs")
        return {
            "topics": serializers.topics(
                conversation, sentiment=bool(sentiment), parents=bool(parents)
            )
        }

    def _insights(self, conversation: Conversation, request: web.Request) -> LongJSON:
        analysis = conversation.analysis
        mixed = (*analysis.questions, *analysis.action_items, *analysis.follow_ups)
        return {
            "insights": serializers.insights(conversation, sorted(mixed, key=lambda i: i.message))
        }

    async def _post_summary(self, request: web.Request) -> web.Response:
        """Create the link to a page if the body names one, else respond with the summary.

        The documentation has both: the first as ``experiences``, the second as a refresh.
        """
        fields = await read_json_object(request) if request.body_exists else {}
        if "name" not in fields:
            return await self._summary(request)
        conversation = await self._conversations.from_request(request)
        return await self._pages.create_link(request, conversation, fields)

    async def _summary(self, request: web.Request) -> web.Response:
        conversation = await self._conversations.analysed(request)
        refresh = query_flag(request, "refresh")
        # A summary before the running job completes would miss its messages.
        if self._jobs.busy(conversation.id):
            raise ApiError(404, "There is no summary yet: the conversation is in progress.")
        # A summary grows with the calls for it, so it is stored where it does.
        draft = conversation.draft()
        if (
            await self._conversations.threads.run(draft.summary, refresh=refresh)
            != conversation.summarised
        ):
            async with self._conversations.change(conversation.id) as conversation:
                await self._conversations.threads.run(conversation.summary, refresh=refresh)
        chosen = conversation.summarised
        return json_response({"summary": serializers.summary(conversation, chosen)})

    async def _call_score(self, request: web.Request) -> web.Response:
        """Respond without a score, and with the reason as the summary (6.20): none is invented."""
        if (await self._scored_features(request))["status"] != Status.COMPLETED:
            raise ApiError(404, "There is no call score (yet).")
        return json_response({"summary": _NOT_SCORED, "criteria": []})

    async def _call_score_status(self, request: web.Request) -> web.Response:
        return json_response(await self._scored_features(request))

    async def _features_status(self, request: web.Request) -> web.Response:
        return json_response(
            await self._features_of(await self._conversations.from_request(request))
        )

    async def _scored_features(self, request: web.Request) -> dict[str, JSON]:
        conversation = await self._conversations.from_request(request)
        if "callScore" not in conversation.features:
            raise ApiError(404, 'No call score was asked for: "features" had no "callScore" in it.')
        return await self._features_of(conversation)

    async def _features_of(self, conversation: Conversation) -> dict[str, JSON]:
        job = conversation.features_job and await self._jobs.find(conversation.features_job)
        if not job:
            raise ApiError(404, 'No submission of this conversation asked for "features".')
        return {"jobId": job.id, "status": job.status.value}


def _redactor(conversation: Conversation, request: web.Request) -> Redactor | None:
    """Return what masks personal data, if the query asks for it; a 400 for an unknown category."""
    text = query_text(request, "exclude")
    try:
        exclude = [] if text is None else parse_json(text)
    except ApiError:
        exclude = None
    if not is_text_list(exclude):
        raise ApiError(400, '"exclude" must be a list of categories, such as ["PERSON_NAME"].')
    if not query_flag(request, "redact"):
        return None
    speakers = {message.speaker for message in conversation.analysis.messages if message.speaker}
    return Redactor(speakers, frozenset(category.upper() for category in exclude))
