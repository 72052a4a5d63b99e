"""Bad answers: whatever a server says, a value or an error of ours, soon, and in little memory.

Good answers are made of the models themselves, then mutated: as values (other types,
nothing, too much, too deep), as bytes (cut, garbled, in other encodings) and as HTTP
(wrong lengths, broken chunks, false encodings). HYPOTHESIS_PROFILE=nightly tries more
than ten thousand.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from datetime import datetime
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio import (
    Config,
    ConfigurationError,
    Credentials,
    DecodeError,
    Job,
    JobStatus,
    Lanes,
    Limits,
    Polls,
    Retries,
    SymblClient,
    SymblError,
    Text,
    Timeouts,
    models,
)
from symbl_aio._charsets import answer_text
from symbl_aio._protocol import answers
from symbl_aio._protocol import decode_models as decoders
from symbl_aio._protocol.answers import Answer
from symbl_aio.job import JobToken
from tests.tables import table

# The jobs of these conversations never end, and what is read of them is nonsense anyway.
pytestmark = pytest.mark.filterwarnings("ignore::symbl_aio.EarlyReadWarning")

MODELS = [
    model
    for model in (getattr(models, name) for name in dir(models))
    if isinstance(model, type)
    and model is not models.Page
    and attrs.has(model)
    and "raw" in attrs.fields_dict(model)
]


# What is good, and what is odd


def good(kind: Any) -> Any:
    """Give JSON that a field of this type is read from without loss."""
    if get_origin(kind) is UnionType:
        return good(get_args(kind)[0])
    if get_origin(kind) is tuple:
        return [good(get_args(kind)[0])]
    if attrs.has(kind):
        hints = get_type_hints(kind)
        names = [f.name for f in attrs.fields(kind) if f.name != "raw"]
        return {decoders._name_in_answer(kind, name): good(hints[name]) for name in names}
    return {
        str: "text",
        float: 1.5,
        int: 3,
        bool: True,
        datetime: "2024-03-05T08:00:00.000Z",
        JobStatus: "completed",
    }.get(kind, {"key": "text"})


odd: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            None, True, False, 0, -1, 10**18, 10**400, -(10**400), 1e308, -0.0, float("nan"),
            float("inf"), float("-inf"), "", " ", "\0", "\ud800", "💬", "null", "1e999", "..",
            "a/b", "\r\nX: 1", "x" * 70_000, "9999-12-31T23:59:59.999999+23:59",
            "0001-01-01T00:00:00-23:59", "2024-02-30T00:00:00Z", [], {}, [[]], [{}], [None],
            {"": ""}, {"id": {}}, {"__class__": "x", "__init__": 1, "raw": 2},
        ]
    ),
    st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=3),
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Give every container in a value with each of its keys."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        found.append((value, key))
        if isinstance(item, dict | list):
            found += places(item)
    return found


@st.composite
def mutated(draw: st.DrawFn, whole: Any) -> Any:
    """Change a good answer in one to four places."""
    root = [json.loads(json.dumps(whole))]
    for _ in range(draw(st.integers(1, 4))):
        container, key = draw(st.sampled_from(places(root)))
        match draw(st.sampled_from(["replace", "drop", "wrap", "nest", "rename", "repeat"])):
            case "drop" if container is not root:
                container.pop(key)
            case "wrap":
                container[key] = draw(st.sampled_from([[container[key]], {"id": container[key]}]))
            case "nest":
                for _ in range(draw(st.sampled_from([1, 50, 400]))):
                    container[key] = draw(
                        st.sampled_from([[container[key]], {"x": container[key]}])
                    )
            case "rename" if isinstance(container, dict):
                container[draw(st.text(max_size=4))] = container.pop(key)
            case "repeat" if isinstance(container, list):
                container.extend([container[key]] * draw(st.sampled_from([1, 100])))
            case _:
                container[key] = deepcopy(draw(odd))
    return root[0]


@st.composite
def garbled(draw: st.DrawFn, value: Any) -> bytes:
    """Write a value down, not always as JSON should be."""
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    match draw(st.sampled_from(["as is"] * 4 + ["duplicate", "deep", "tail", "encoding", "bytes"])):
        case "duplicate":
            text = text.replace("{", '{"id": 1, "id": "2", "status": [], "jobId": null, ', 1)
        case "deep":
            deep = draw(st.sampled_from([100, 5_000, 100_000]))
            opening = draw(st.sampled_from(["[", '{"id":', '{"messages":[']))
            text = opening * deep + draw(st.sampled_from(["", "1", text]))
        case "tail":
            text += draw(st.sampled_from([" ", "}", "null", text, "\0", "<html>", "\ufeff"]))
        case "encoding":
            encoding = draw(
                st.sampled_from(["utf-16", "utf-16-be", "utf-32", "utf-8-sig", "cp037"])
            )
            return text.encode(encoding, errors="replace")
        case "bytes":
            raw = bytearray(text.encode(errors="surrogatepass"))
            for _ in range(draw(st.integers(1, 8))):
                at = draw(st.integers(0, len(raw)))
                length = draw(st.integers(0, 3))
                raw[at : at + length] = draw(st.binary(max_size=3))
            return bytes(raw)
    return text.encode(errors="surrogatepass")


CHARSETS = st.sampled_from([None, None, "utf-8", "utf-16", "latin-1", "punycode", "hex", "\xff"])


@st.composite
def any_answers(draw: st.DrawFn, *wholes: Any) -> Answer:
    raw = draw(garbled(draw(mutated(draw(st.sampled_from(wholes))))))
    return Answer(200, {}, answer_text(raw, draw(CHARSETS)))


# The decoders themselves

ACCEPTED = {"conversationId": "5102930", "jobId": "a1b2-c3d4"}
JOB = {"id": "a1b2-c3d4", "status": "in_progress"}
TOKEN = {"accessToken": "a-token", "expiresIn": 3600}
REFUSAL = {"message": "No.", "more": [1]}


def attempt(read: Callable[[], object]) -> object:
    """Give what comes of reading: a value, or the one error that there may be."""
    try:
        return read()
    except DecodeError as error:
        return error


@given(data=st.data())
def test_what_the_wire_brings_is_read_or_a_decode_error(data: st.DataObject) -> None:
    answer = data.draw(any_answers(ACCEPTED, JOB, TOKEN, REFUSAL))
    match attempt(lambda: answers.decode_accepted(answer)):
        case (str(conversation_id), str(job_id)):
            assert conversation_id
            assert job_id
        case other:
            assert isinstance(other, DecodeError)
            assert other.raw == answer.text
    match attempt(lambda: answers.decode_status(answer)):
        case str():
            pass
        case other:
            assert isinstance(other, DecodeError)
            assert other.raw == answer.text
    match attempt(lambda: answers.decode_token(answer)):
        case (str(), None):
            pass
        case (str(), float(seconds)):
            assert 0 <= seconds < float("inf")
        case other:
            assert isinstance(other, DecodeError)
            assert other.raw == ""
    assert type(answers.error_message(answer)) is str


def assert_made(made: object, kinds: type | tuple[type, ...], answer: Answer) -> None:
    if isinstance(made, DecodeError):
        assert made.raw == answer.text
        return
    for value in made if isinstance(made, tuple) else (made,):
        assert isinstance(value, kinds)
        assert repr(value)
        assert value == value


@given(data=st.data())
def test_every_model_is_made_or_a_decode_error(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(MODELS))
    one = good(model)
    answer = data.draw(any_answers(one, [one], {"items": [one, one]}))
    readers: list[Callable[..., object]] = [
        decoders.decode,
        lambda model, value, text: decoders.decode_within(model, value, "items", text=text),
        lambda model, value, text: decoders.decode_list(model, value, "items", text=text),
        lambda model, value, text: decoders.decode_any_list(model, value, "items", text=text),
    ]
    for reader in readers:
        made = attempt(lambda: reader(model, answer.json(), text=answer.text))  # noqa: B023
        assert_made(made, model, answer)


@given(data=st.data())
def test_trackers_and_insights_are_made_or_a_decode_error(data: st.DataObject) -> None:
    tracker = good(models.DetectedTracker)
    insights = {"insights": [{**good(models.Insight), "type": kind} for kind in ("question", "x")]}
    answer = data.draw(any_answers(tracker, [tracker], {"trackers": [tracker]}, insights))
    made = attempt(lambda: decoders.decode_detected_trackers(answer.json(), text=answer.text))
    assert_made(made, models.DetectedTracker, answer)
    made = attempt(lambda: decoders.decode_insights(answer.json(), text=answer.text))
    assert_made(made, models.Insight, answer)


JOB_TOKEN = {"v": 1, "job": "j", "conversation": "c", "origin": "https://x", "since": 17e8}


@given(data=st.data())
def test_a_job_token_is_read_or_a_wrong_setting(data: st.DataObject) -> None:
    answer = data.draw(any_answers(JOB_TOKEN))
    try:
        token = JobToken.parse(answer.text)
    except ConfigurationError:
        return
    if token is not None:
        assert type(token.job_id) is str
        assert -float("inf") < token.since < float("inf")


# From the socket to the caller


@attrs.define(eq=False)
class Liar:
    """A server that answers everything but token requests with the bytes that it is given."""

    runner: asyncio.Runner
    client: SymblClient
    said: bytes = b""
    keeps_open: bool = False
    said_of_tokens: bytes | None = None

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = 0
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                await reader.readexactly(length)
                if head.startswith(b"POST /oauth2") and self.said_of_tokens is None:
                    body = json.dumps(TOKEN).encode()
                    writer.write(http(body, 200, b"Content-Length: %d" % len(body)))
                    continue
                writer.write(self.said_of_tokens or self.said)
                self.said_of_tokens = None
                await writer.drain()
                if not self.keeps_open:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def ask(self, call: str, said: bytes, *, keeps_open: bool = False) -> object:
        """Say this to one call, and give what the caller gets: a value, or one of our errors."""
        self.said, self.keeps_open = said, keeps_open
        return self.runner.run(self._asked(call))

    def ask_for_token(self, said: bytes) -> object:
        """Say this to a client's first request, the one for its token."""
        good_page = json.dumps(CALLS["messages"]).encode()
        self.said = http(good_page, 200, b"Content-Length: %d" % len(good_page))
        self.keeps_open, self.said_of_tokens = False, said
        return self.runner.run(self._first_call())

    async def _first_call(self) -> object:
        async with SymblClient(Credentials("a", "s"), config=self.client.config) as symbl:
            try:
                return await symbl.conversation("5102930").messages()
            except SymblError as error:
                return error

    async def _asked(self, call: str) -> object:
        conversation = self.client.conversation("5102930")
        calls: dict[str, Callable[[], Any]] = {
            "messages": conversation.messages,
            "topics": conversation.topics,
            "questions": conversation.questions,
            "action_items": conversation.action_items,
            "follow_ups": conversation.follow_ups,
            "info": conversation.info,
            "job": self.client.job(f"job-{random.random()}").refresh,
            "submit": lambda: self.client.submit(Text("Hello.")),
            "append": lambda: conversation.append(Text("Hello.")),
        }
        conversation.resume_appends()
        async with asyncio.timeout(20):
            try:
                return await calls[call]()
            except SymblError as error:
                return error


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    with asyncio.Runner() as runner:
        config = dict[str, Any](
            lanes=Lanes(advance_on="accepted"),
            limits=Limits(jobs=10**6, answer_bytes=100_000),
            polls=Polls(floor=3600, ceiling=3600),
            retries=Retries(attempts=1),
            timeouts=Timeouts(connect=0.3, read=0.1, answer=0.3),
        )

        async def start() -> tuple[Liar, asyncio.Server]:
            made = Liar(runner, None)  # type: ignore[arg-type]
            server = await asyncio.start_server(made.talk, "127.0.0.1", 0)
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            made.client = SymblClient(
                Credentials("app", "s"), config=Config(base_url=url, **config)
            )
            await made.client.start()
            return made, server

        async def stop() -> None:
            await made.client.aclose(drain="none")
            server.close()

        made, server = runner.run(start())
        yield made
        runner.run(stop())


CALLS: Mapping[str, Any] = {
    "messages": {"messages": [good(models.Message)]},
    "topics": {"topics": [good(models.Topic)]},
    "questions": {"questions": [good(models.Question)]},
    "action_items": {"actionItems": [good(models.ActionItem)]},
    "follow_ups": {"followUps": [good(models.FollowUp)]},
    "info": good(models.ConversationInfo),
    "job": JOB,
    "submit": ACCEPTED,
    "append": ACCEPTED,
}
FITTING: Mapping[str, type] = {
    "info": models.ConversationInfo,
    "job": JobStatus,
    "submit": Job,
    "append": Job,
}


def check(call: str, got: object) -> None:
    assert isinstance(got, (SymblError, FITTING.get(call, models.Page))), (call, got)
    if isinstance(got, SymblError):
        assert len(str(got)) < 20_000


def http(body: bytes, status: int = 200, *headers: bytes) -> bytes:
    head = [b"HTTP/1.1 %d Well" % status, b"Content-Type: application/json", *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


# 429 is left out of what submissions are told: there it means to wait.
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 206, 299, 301, 400, 404, 418, 500, 502, 599])


@given(data=st.data())
def test_a_mutated_answer_reaches_the_caller_as_a_value_or_an_error_of_ours(
    liar: Liar, data: st.DataObject
) -> None:
    call = data.draw(st.sampled_from(sorted(CALLS)))
    body = data.draw(garbled(data.draw(mutated(CALLS[call]))))
    charset = data.draw(CHARSETS)
    headers = [b"Content-Length: %d" % len(body)]
    if charset is not None:
        headers.append(b"Content-Type: text/plain; charset=" + charset.encode("latin-1"))
    check(call, liar.ask(call, http(body, data.draw(STATUSES), *headers)))


@pytest.mark.parametrize("call", sorted(CALLS))
def test_a_good_answer_is_a_value(liar: Liar, call: str) -> None:
    body = json.dumps(CALLS[call]).encode()
    got = liar.ask(call, http(body, 200, b"Content-Length: %d" % len(body)))
    check(call, got)
    assert not isinstance(got, SymblError)


@given(data=st.data())
def test_a_mutated_token_answer_is_an_error_that_does_not_show_it(
    liar: Liar, data: st.DataObject
) -> None:
    token = "t0ken-5c1e"
    body = data.draw(garbled(data.draw(mutated({**TOKEN, "accessToken": token}))))
    status = data.draw(STATUSES)
    got = liar.ask_for_token(http(body, status, b"Content-Length: %d" % len(body)))
    check("messages", got)
    if status < 300 and isinstance(got, SymblError):
        assert token not in f"{got} {got!r} {vars(got)} {got.__cause__!r} {got.__context__!r}"


def test_a_token_answer_that_is_too_large_is_an_error_that_does_not_show_it(liar: Liar) -> None:
    token = "t0ken-5c1e"
    body = json.dumps({"accessToken": token, "scope": "x" * 100_000}).encode()
    got = liar.ask_for_token(http(body, 200, b"Content-Length: %d" % len(body)))
    assert isinstance(got, DecodeError)
    assert "answer_bytes" in str(got)
    assert token not in f"{got} {got!r} {vars(got)} {got.__cause__!r} {got.__context__!r}"


def chunked(body: bytes) -> bytes:
    half = len(body) // 2
    parts = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:]) if part]
    return b"".join(parts) + b"0\r\n\r\n"


@st.composite
def broken_http(draw: st.DrawFn, body: bytes) -> bytes:
    """Give an answer whose HTTP is not what it says it is."""
    length = b"Content-Length: %d" % len(body)
    gzipped, deflated = gzip.compress(body), zlib.compress(body)
    whole = draw(
        st.sampled_from(
            [
                http(body),
                http(body, 200, b"Content-Length: %d" % (len(body) + 7)),
                http(body, 200, b"Content-Length: %d" % max(0, len(body) - 7)),
                http(body, 200, b"Content-Length: -1"),
                http(body, 200, b"Content-Length: 1e3"),
                http(body, 200, b"Content-Length: 99999999999999999999999"),
                http(body, 200, length, length.replace(b": ", b": 1")),
                http(chunked(body), 200, b"Transfer-Encoding: chunked"),
                http(chunked(body), 200, b"Transfer-Encoding: chunked", length),
                http(chunked(body)[:-7], 200, b"Transfer-Encoding: chunked"),
                http(b"zz\r\n" + body, 200, b"Transfer-Encoding: chunked"),
                http(b"fffffffffffffff0\r\n" + body, 200, b"Transfer-Encoding: chunked"),
                http(b"-5\r\n" + body, 200, b"Transfer-Encoding: chunked"),
                http(body, 200, length, b"Transfer-Encoding: gzip, identity, x"),
                http(gzipped, 200, b"Content-Encoding: gzip", b"Content-Length: %d" % len(gzipped)),
                http(body, 200, b"Content-Encoding: gzip", length),
                http(gzipped[:-9], 200, b"Content-Encoding: gzip"),
                http(deflated, 200, b"Content-Encoding: gzip"),
                http(deflated, 200, b"Content-Encoding: deflate"),
                http(gzipped + b"junk", 200, b"Content-Encoding: gzip"),
                http(body, 200, length, b"Content-Encoding: br"),
                http(body, 200, length, b"Content-Encoding: zstd"),
                http(body, 200, length, b"Content-Encoding: nonsense"),
                http(body, 200, length, b"X: " + b"x" * 9000),
                http(body, 200, length, *[b"X-%d: x" % number for number in range(300)]),
                http(body, 200, length, b"no colon at all"),
                http(body, 200, length, b"X: a\0b"),
                http(body, 200, length, b": empty name"),
                http(body, 200, length, b"Content-Type: ;;;charset=\"\\"),
                http(body, 200, length, b"Content-Type: " + b"a/" * 500),
                http(body, 200, length, b"Set-Cookie: \x01=;;;"),
                http(body, 200, length, b"Connection: upgrade", b"Upgrade: h2c"),
                http(b"", 101, b"Connection: upgrade", b"Upgrade: websocket"),
                http(b"", 100) + http(body, 200, length),
                http(b"", 100) * 50,
                http(body, 999, length),
                http(body, 42, length),
                b"HTTP/9.9 200 OK\r\n\r\n" + body,
                b"HTTP/1.1 2OO OK\r\n\r\n" + body,
                b"HTTP/1.1 200\r\n\r\n" + body,
                b"HTTP/1.0 200 OK\r\n\r\n" + body,
                b"ICY 200 OK\r\n\r\n" + body,
                b"\r\n\r\n\r\n" + http(body, 200, length),
                body,
                b"",
            ]
        )
    )  # fmt: skip
    at = draw(st.integers(0, len(whole)))
    match draw(st.sampled_from(["as is", "as is", "cut", "garble"])):
        case "cut":
            return whole[:at]
        case "garble":
            return whole[:at] + draw(st.binary(max_size=4)) + whole[at + draw(st.integers(0, 4)) :]
    return whole


@given(data=st.data())
def test_broken_http_reaches_the_caller_as_a_value_or_an_error_of_ours(
    liar: Liar, data: st.DataObject
) -> None:
    call = data.draw(st.sampled_from(sorted(CALLS)))
    body = json.dumps(CALLS[call]).encode()
    check(call, liar.ask(call, data.draw(broken_http(body))))


@pytest.mark.parametrize("call", ["messages", "append"])
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        http(b"{", 200, b"Content-Length: 100"),
        http(b"5\r\n{", 200, b"Transfer-Encoding: chunked"),
        http(b"", 100),
    ],
)
def test_an_answer_that_never_ends_is_given_up(liar: Liar, call: str, said: bytes) -> None:
    assert isinstance(liar.ask(call, said, keeps_open=True), SymblError)


BOMB = 200 * 2**20


@pytest.mark.parametrize("call", ["messages", "submit", "job"])
@pytest.mark.parametrize("status", [200, 400, 503])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.heavy
def test_a_bomb_of_an_answer_is_put_aside_before_it_goes_off(
    liar: Liar, call: str, status: int, encoding: str
) -> None:
    tracemalloc.start()
    got = liar.ask(call, http(_bomb(encoding), status, b"Content-Encoding: " + encoding.encode()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    check(call, got)
    assert isinstance(got, SymblError)
    assert peak < 40 * 2**20


_bombs: dict[str, bytes] = {}


def _bomb(encoding: str) -> bytes:
    if encoding not in _bombs:
        made = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
        _bombs[encoding] = b"".join(made.compress(b"[" * 2**20) for _ in range(BOMB // 2**20))
        _bombs[encoding] += made.flush()
    return _bombs[encoding]


@table(
    "reason,read",
    [("no\x1b[31m sound\n\n", "no [31m sound"), ("", None), (None, None), (7, None), (["a"], None)],
)
def test_the_reason_of_a_failed_job_is_one_printable_line(reason, read):
    body = json.dumps({"id": "1", "status": "failed", "reason": reason})

    assert answers.failure_reason(Answer(200, {}, body)) == read
