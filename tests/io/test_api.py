"""Every row of the retry table, acted upon: what the server saw, and what the caller got."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from symbl_aio import Audio, SymblClient, Text, Video
from symbl_aio._io.api import Accepted, Full, UnsettledError
from symbl_aio._io.single_use_body import Body, Payload, once
from symbl_aio._protocol.encode import Call
from symbl_aio.config import AccessToken, Limits, Retries, Timeouts
from symbl_aio.errors import (
    AmbiguousSubmissionError,
    APIError,
    AppendBlockedError,
    AuthenticationError,
    BadRequestError,
    ConcurrencyLimitError,
    DecodeError,
    NotFoundError,
    PermissionDeniedError,
    ServerError,
    TransportError,
    UntrustedServerError,
    UploadStalledError,
)
from symbl_aio.job import Submission
from symbl_aio.testing import LocalSymbl

MIB = 2**20
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(1000)
LIST = Call("GET", "/v1/conversations")

CLASSES: dict[int, type[APIError]] = {
    301: BadRequestError,
    307: BadRequestError,
    400: BadRequestError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: BadRequestError,
    409: BadRequestError,
    413: BadRequestError,
    422: BadRequestError,
    425: BadRequestError,
    429: ConcurrencyLimitError,
    500: ServerError,
    501: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
    505: ServerError,
    507: ServerError,
}
READS_RETRIED = (408, 425, 429, 500, 502, 503, 504, 507)
RAISED = (301, 307, 400, 403, 404, 409, 413, 422, 501, 505)
AMBIGUOUS = (408, 500, 502, 503, 504, 507)


def asked(server: LocalSymbl, path: str) -> int:
    return sum(1 for seen in server.requests if seen.path == path)


@pytest.fixture
async def client(server: LocalSymbl, quick: dict[str, Any]) -> AsyncIterator[SymblClient]:
    async with server.client(**quick) as symbl:
        yield symbl


@pytest.fixture
def provider(server: LocalSymbl) -> Callable[[], Awaitable[str]]:
    """Give good tokens without a token request."""

    async def give() -> str:
        return server._tokens.current().value

    return give


@pytest.fixture
def nobody(no_port: int) -> SimpleNamespace:
    return SimpleNamespace(base_url=f"http://127.0.0.1:{no_port}")


# Reads


@pytest.fixture
async def transcript(client: SymblClient) -> Call:
    """The one read that is a POST."""
    job = await client.submit(Text("Hello."))
    await job
    return Call(
        "POST",
        f"/v1/conversations/{job.conversation_id}/transcript",
        (),
        (("Content-Type", "application/json"),),
        b'{"contentType":"text/srt"}',
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", READS_RETRIED)
async def test_a_read_is_repeated_until_it_is_answered(server, reach, transcript, status, method):
    call = LIST if method == "GET" else transcript
    server.inject(f"status:{status}", on=call.path, times=2)
    assert (await reach(server).call(call)).status == 200
    assert asked(server, call.path) == 3


@pytest.mark.parametrize("status", READS_RETRIED)
async def test_a_read_is_given_up_after_the_attempts_that_are_allowed(server, reach, status):
    server.inject(f"status:{status}", on=LIST.path, times=99)
    with pytest.raises(CLASSES[status]) as raised:
        await reach(server).call(LIST)
    assert raised.value.status == status
    assert f"told to answer {status}" in raised.value.message
    assert f"GET {LIST.path}" in str(raised.value)
    assert asked(server, LIST.path) == 3


@pytest.mark.parametrize("status", RAISED)
async def test_a_read_that_is_refused_is_not_repeated(server, reach, status):
    server.inject(f"status:{status}", on=LIST.path, times=99)
    with pytest.raises(CLASSES[status]) as raised:
        await reach(server).call(LIST)
    assert raised.value.status == status
    assert asked(server, LIST.path) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("fault", ["drop_before_body", "reset", "half_answer", "not_http"])
async def test_a_read_that_breaks_is_repeated(server, reach, transcript, fault, method):
    call = LIST if method == "GET" else transcript
    server.inject(fault, on=call.path)
    assert (await reach(server).call(call)).status == 200
    # A dropped GET is repeated by aiohttp too, which harms nobody.
    assert asked(server, call.path) == 2


@pytest.mark.parametrize("fault,sent", [("reset", "maybe"), ("not_http", "maybe")])
async def test_a_read_that_keeps_breaking_ends_with_how_far_it_got(server, reach, fault, sent):
    server.inject(fault, on=LIST.path, times=99)
    with pytest.raises(TransportError) as raised:
        await reach(server).call(LIST)
    assert raised.value.sent == sent
    assert f"GET {LIST.path}" in str(raised.value)


async def test_a_read_that_reaches_nobody_was_not_sent(reach, nobody, provider):
    with pytest.raises(TransportError) as raised:
        await reach(nobody, provider).call(LIST)
    assert raised.value.sent == "no"


async def test_a_server_that_is_not_trusted_gets_no_second_chance(serve, reach, provider):
    async def script(exchange):
        await exchange.request()

    payload = Small()
    raw = await serve(script, tls=True)
    with pytest.raises(UntrustedServerError):
        await reach(raw, provider).submit(SUBMIT, payload, repeatable=True)
    with pytest.raises(UntrustedServerError):
        await reach(raw).call(LIST)
    assert len(payload.bodies) == 1
    assert raw.heads == []


async def test_a_token_answer_that_is_too_long_is_not_read(server, reach):
    with pytest.raises(DecodeError, match="answer_bytes"):
        await reach(server, limits=Limits(answer_bytes=5)).ask_once(LIST)
    assert len(server.requests) == 1


async def test_a_read_with_an_answer_that_is_too_long_is_not_repeated(server, reach, provider):
    with pytest.raises(DecodeError, match="answer_bytes"):
        await reach(server, provider, limits=Limits(answer_bytes=5)).call(LIST)
    assert asked(server, LIST.path) == 1


async def test_retry_after_is_honoured_up_to_its_cap(server, reach, monkeypatch):
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", pause)
    retries = Retries(attempts=4, base=0.25, cap=10, max_retry_after=7, max_elapsed=100)
    server.inject("retry_after:503:5", on=LIST.path)
    server.inject("retry_after:429:3600", on=LIST.path)
    server.inject("status:500", on=LIST.path)
    assert (await reach(server, retries=retries).call(LIST)).status == 200
    assert [seconds for seconds in pauses if seconds] == [5, 7, 1]


async def test_a_call_that_must_not_act_twice_is_not_repeated_once_it_may_have_arrived(
    server, reach
):
    api = reach(server)
    for fault, error in (("status:500", ServerError), ("half_answer", TransportError)):
        server.requests.clear()
        server.inject(fault, on=LIST.path)
        with pytest.raises(error):
            await api.call(LIST, repeatable=False)
        assert asked(server, LIST.path) == 1
    for refusal in ("status:425", "status:429"):
        server.requests.clear()
        server.inject(refusal, on=LIST.path)
        assert (await api.call(LIST, repeatable=False)).status == 200
        assert asked(server, LIST.path) == 2


@pytest.mark.parametrize("status", [*READS_RETRIED, *RAISED])
async def test_what_is_asked_once_is_asked_once(server, reach, status):
    server.inject(f"status:{status}", on=LIST.path, times=9)
    with pytest.raises(CLASSES[status]):
        await reach(server).ask_once(LIST)
    assert asked(server, LIST.path) == 1


async def test_what_is_asked_once_gets_a_new_token_once(server, reach):
    api = reach(server)
    await api.ready()
    server.revoke_tokens()
    assert (await api.ask_once(LIST)).status == 200
    assert asked(server, LIST.path) == 2


# Submissions: each way is tried with a text and with a file, as a first one and as an append


@pytest.fixture(params=["POST text", "POST file", "PUT text", "PUT file"])
async def send(request, client: SymblClient, server: LocalSymbl, tmp_path: Path) -> "Send":
    method, what = request.param.split()
    (tmp_path / "a.mp4").write_bytes(MP4)
    send = Send(client, server, Text("Hello.") if what == "text" else Video(tmp_path / "a.mp4"))
    if method == "PUT":
        first = await client.submit(Text("First."))
        await first
        send.conversation_id = first.conversation_id
        server.submissions.clear()
    return send


class Send:
    """Submits, as the parameter says, and looks at what the server got of it."""

    def __init__(self, client: SymblClient, server: LocalSymbl, media: Text | Video) -> None:
        self.client = client
        self.server = server
        self.media = media
        self.conversation_id: str | None = None

    def __call__(self) -> Submission:
        if self.conversation_id is None:
            return self.client.submit(self.media)
        return self.client.append(self.conversation_id, self.media)

    @property
    def on(self) -> str:
        return "POST" if self.conversation_id is None else "PUT"

    @property
    def arrived(self) -> int:
        return len(self.server.submissions)

    @property
    def accepted(self) -> int:
        return sum(1 for received in self.server.submissions if received.accepted)


@pytest.mark.parametrize("status", RAISED)
async def test_a_refused_submission_is_raised_and_not_repeated(server, send, status):
    server.inject(f"status:{status}", on=send.on, times=9)
    with pytest.raises(CLASSES[status]) as raised:
        await send()
    assert raised.value.status == status
    assert send.arrived == 1
    server.clear_faults()
    await send()  # the lane is free


@pytest.mark.parametrize(
    "fault",
    [*(f"status:{status}" for status in AMBIGUOUS), "retry_after:500:0", "retry_after:408:0"],
)
async def test_a_submission_that_may_have_been_accepted_is_never_sent_again(server, send, fault):
    server.inject(fault, on=send.on, times=9)
    submission = send()
    behind = send.client.append(submission, Text("Behind it."))
    with pytest.raises(AmbiguousSubmissionError) as raised:
        await submission
    assert raised.value.sent == "yes"
    assert cast("APIError", raised.value.__cause__).status == int(fault.split(":")[1])
    with pytest.raises(AppendBlockedError):
        await behind
    assert send.arrived == 1


@pytest.mark.parametrize("fault", ["accept_then_drop", "half_answer", "not_http"])
async def test_a_submission_without_a_whole_answer_is_never_sent_again(server, send, fault):
    server.inject(fault, on=send.on, times=9)
    with pytest.raises(AmbiguousSubmissionError) as raised:
        await send()
    assert raised.value.sent == "maybe"
    assert (send.arrived, send.accepted) == (1, 1)


@pytest.mark.parametrize("fault", ["garbage", "no_ids"])
async def test_an_acceptance_that_cannot_be_read_is_never_sent_again(server, send, fault):
    server.inject(fault, on=send.on, times=9)
    with pytest.raises(AmbiguousSubmissionError) as raised:
        await send()
    assert raised.value.sent == "yes"
    assert isinstance(raised.value.__cause__, DecodeError)
    assert (send.arrived, send.accepted) == (1, 1)


@pytest.mark.parametrize("fault", ["status:425", "retry_after:425:0", "retry_after:503:0"])
async def test_a_submission_that_was_surely_not_accepted_is_sent_again(server, send, fault):
    server.inject(fault, on=send.on, times=2)
    await send()
    assert (send.arrived, send.accepted) == (3, 1)


@pytest.mark.parametrize("fault", ["status:425", "retry_after:503:0"])
async def test_a_submission_is_given_up_after_the_attempts_that_are_allowed(server, send, fault):
    server.inject(fault, on=send.on, times=9)
    with pytest.raises(CLASSES[int(fault.split(":")[1])]):
        await send()
    assert (send.arrived, send.accepted) == (3, 0)


async def test_a_submission_with_a_refused_token_is_sent_again_with_another(server, send):
    if send.on == "POST":
        # To its end: a poll would bring a new token first.
        await send.client.process(Text("This gets the first token."))
        server.submissions.clear()
    server.revoke_tokens()
    await send()
    assert [received.status for received in server.submissions] == [401, 201]


async def test_a_submission_whose_second_token_is_refused_too_is_raised(server, send):
    server.inject("status:401", on=send.on, times=9)
    # The server keeps its token, and so gives the same one again.
    with pytest.raises(AuthenticationError, match="brought the same one back"):
        await send()
    assert send.arrived == 1


async def test_a_submission_that_finds_the_account_full_waits_for_a_job_to_end(server, send):
    server.hold_jobs()
    running = await send.client.submit(Text("It takes the slot."))
    server.submissions.clear()
    server.inject("status:429", on=send.on)
    submission = send()
    await server.until(lambda: [r.status for r in server.submissions] == [429])
    assert not submission.done()
    server.release()
    await running
    await submission
    assert [received.status for received in server.submissions] == [429, 201]


async def test_a_submission_that_reaches_nobody_is_tried_again_and_then_raised(
    reach, nobody, provider
):
    payload = Small()
    with pytest.raises(TransportError) as raised:
        await reach(nobody, provider).submit(Call("PUT", "/v1/x"), payload, repeatable=True)
    assert raised.value.sent == "no"
    assert len(payload.bodies) == 3


# Large files, whose end is not yet handed over when things go wrong


@pytest.fixture
def large(tmp_path: Path) -> Audio:
    path = tmp_path / "large.wav"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    return Audio(path)


@pytest.mark.parametrize("fault", ["drop_before_body", "reset"])
async def test_an_upload_that_breaks_before_its_end_starts_again(server, client, large, fault):
    server.inject(fault, on="POST", times=2)
    await client.submit(large)
    assert [received.accepted for received in server.submissions] == [False, False, True]
    assert server.submissions[-1].size == 64 * MIB


async def test_an_upload_that_stalls_starts_again(server, large, quick):
    server.inject("stall", on="POST")
    # Long enough that a busy machine is not taken for a second stall.
    async with server.client(**quick, timeouts=Timeouts(stall=1.0)) as symbl:
        await symbl.submit(large)
    assert [received.accepted for received in server.submissions] == [False, True]


async def test_an_upload_that_always_stalls_is_a_timeout(server, large, quick):
    server.inject("stall", on="POST", times=9)
    async with server.client(**quick, timeouts=Timeouts(stall=0.1)) as symbl:
        with pytest.raises(UploadStalledError):
            await symbl.submit(large)
    assert len(server.submissions) == 3


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_an_upload_that_fails_on_the_server_before_its_end_starts_again(
    server, client, large, status
):
    server.inject(f"early:{status}", on="POST", times=2)
    await client.submit(large)
    assert [received.status for received in server.submissions] == [status, status, 201]
    assert server.submissions[0].size < 64 * MIB


@pytest.mark.parametrize("status", [401, 413, 429])
async def test_an_early_answer_means_what_a_late_one_means(server, client, large, status):
    # To its end: a poll would bring a new token first.
    await client.process(Text("This gets the first token."))
    server.submissions.clear()
    if status == 401:
        server.revoke_tokens()
        await client.submit(large)
        assert [received.status for received in server.submissions] == [401, 201]
        return
    server.inject(f"early:{status}", on="POST")
    if status == 413:
        with pytest.raises(BadRequestError) as raised:
            await client.submit(large)
        assert raised.value.status == 413
        assert len(server.submissions) == 1
    else:
        await client.submit(large)
        assert [received.status for received in server.submissions] == [429, 201]
    assert server.submissions[0].size < 64 * MIB


async def test_an_acceptance_of_half_an_upload_is_in_doubt(serve, reach, provider):
    async def script(exchange):
        await exchange.head()
        await exchange.reader.readexactly(MIB)
        await exchange.answer(201, '{"conversationId": "c", "jobId": "j"}')
        while await exchange.reader.read(MIB):
            pass

    size = 256 * MIB
    payload = Payload(lambda: once(bytes(size)), size, lambda _sent, _total: None)
    server = await serve(script)
    with pytest.raises(UnsettledError, match="before all of it was sent") as raised:
        await reach(server, provider).submit(SUBMIT, payload, repeatable=True)
    assert raised.value.sent == "partial"
    assert len(server.heads) == 1


# One-shot sources


async def stream(count: int = 64) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(MIB)


@pytest.mark.parametrize(
    "fault,error",
    [
        ("status:401", AuthenticationError),
        ("status:425", BadRequestError),
        ("status:429", ConcurrencyLimitError),
        ("retry_after:503:0", ServerError),
        ("drop_before_body", TransportError),
        ("reset", TransportError),
        ("early:429", ConcurrencyLimitError),
        ("early:502", ServerError),
    ],
)
async def test_a_stream_is_sent_once_and_whatever_happens_is_raised(server, client, fault, error):
    server.inject(fault, on="POST", times=9)
    with pytest.raises(error) as raised:
        await client.submit(Audio(stream(), size=64 * MIB))
    assert not isinstance(raised.value, AmbiguousSubmissionError)
    assert len(server.submissions) == 1


@pytest.mark.parametrize("fault", ["status:500", "accept_then_drop", "no_ids"])
async def test_a_stream_that_may_have_been_accepted_is_in_doubt_like_all_others(
    server, client, fault
):
    server.inject(fault, on="POST", times=9)
    with pytest.raises(AmbiguousSubmissionError):
        await client.submit(Audio(stream(2), size=2 * MIB))
    assert len(server.submissions) == 1


async def test_a_stream_is_not_begun_before_there_is_a_token(server, client):
    begun = []

    async def watched() -> AsyncIterator[bytes]:
        begun.append([seen.path for seen in server.requests])
        yield bytes(1000)

    server.inject("status:500", on="token", times=1)
    await client.submit(Audio(watched(), size=1000))
    assert begun == [["/oauth2/token:generate"] * 2]


# What the lower half hands up


class Small(Payload):
    """A small text, which keeps the bodies of its attempts."""

    def __init__(self) -> None:
        data = b'{"messages":[{"payload":{"content":"x"}}]}'
        super().__init__(lambda: once(data), len(data), lambda _sent, _total: None)
        self.bodies: list[Body] = []

    def body(self) -> Body:
        self.bodies.append(super().body())
        return self.bodies[-1]


SUBMIT = Call("POST", "/v1/process/text", (), (("Content-Type", "application/json"),))


async def test_an_acceptance_holds_both_ids(server, reach):
    accepted = await reach(server).submit(SUBMIT, Small(), repeatable=True)
    [received] = server.submissions
    assert accepted == Accepted(received.conversation_id, received.job_id)


async def test_a_full_account_is_no_error_where_it_can_be_tried_again(server, reach):
    server.inject("retry_after:429:7", on="POST")
    assert isinstance(await reach(server).submit(SUBMIT, Small(), repeatable=True), Full)


async def test_a_body_that_was_refused_is_not_complete_any_more(server, reach):
    payload = Small()
    server.inject("status:400", on="POST")
    api = reach(server)
    with pytest.raises(BadRequestError):
        await api.submit(SUBMIT, payload, repeatable=True)
    server.inject("status:500", on="POST")
    with pytest.raises(UnsettledError):
        await api.submit(SUBMIT, payload, repeatable=True)
    assert [body.complete for body in payload.bodies] == [False, True]


async def test_an_acceptance_longer_than_will_be_read_is_in_doubt(server, reach, provider):
    with pytest.raises(UnsettledError) as raised:
        api = reach(server, provider, limits=Limits(answer_bytes=5))
        await api.submit(SUBMIT, Small(), repeatable=True)
    assert raised.value.sent == "yes"
    assert [received.accepted for received in server.submissions] == [True]


async def test_a_server_error_longer_than_will_be_shown_is_cut(serve, reach, provider):
    async def script(exchange):
        while True:
            await exchange.request()
            await exchange.answer(404, "x" * 100_000)

    with pytest.raises(NotFoundError) as raised:
        await reach(await serve(script), provider).call(LIST)
    assert len(raised.value.body) == 4096


# Tokens that end while a call is tried again


ACCEPTED = '{"conversationId": "c", "jobId": "j"}'
AGAIN = (503, "{}", "Retry-After: 0")


def answering(answers, tokens):
    """Return a script that gives these answers, one each request, whose token it adds."""

    async def script(exchange):
        for answer in answers:
            head, _ = await exchange.request()
            tokens.extend(head.all("Authorization"))
            await exchange.answer(*answer)

    return script


@pytest.mark.parametrize("submits", [True, False])
async def test_a_token_that_is_refused_again_after_another_failure_is_replaced_again(
    serve, reach, submits
):
    """An upload takes an hour, breaks, and its second token has ended too."""
    seen: list[str] = []
    script = answering([(401,), AGAIN, (401,), (200, ACCEPTED)], seen)
    made = 0

    async def provider() -> str:
        nonlocal made
        made += 1
        return f"t{made}"

    api = reach(await serve(script), provider)
    if submits:
        assert await api.submit(SUBMIT, Small(), repeatable=True) == Accepted("c", "j")
    else:
        assert (await api.call(LIST)).status == 200
    assert seen == ["Bearer t1", "Bearer t2", "Bearer t2", "Bearer t3"]


async def test_two_tokens_that_are_refused_one_after_the_other_are_the_end(serve, reach):
    async def script(exchange):
        while True:
            await exchange.request()
            await exchange.answer(401)

    made = 0

    async def provider() -> str:
        nonlocal made
        made += 1
        return f"t{made}"

    with pytest.raises(AuthenticationError):
        await reach(await serve(script), provider).submit(SUBMIT, Small(), repeatable=True)
    assert made == 2


async def test_an_attempt_is_made_with_a_token_that_has_not_ended(serve, reach):
    seen: list[str] = []
    script = answering([AGAIN, (200, ACCEPTED)], seen)
    made = 0

    async def provider() -> AccessToken:
        nonlocal made
        made += 1
        return AccessToken(f"t{made}", expires_in=1e-6)

    await reach(await serve(script), provider).submit(SUBMIT, Small(), repeatable=True)
    assert seen == ["Bearer t1", "Bearer t2"]
