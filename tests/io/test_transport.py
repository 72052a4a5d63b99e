import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

import symbl_aio
from symbl_aio._io.deadlines import Deadline, Deadlines
from symbl_aio._io.sendfile import SendFile
from symbl_aio._io.single_use_body import Body, Payload, ReplayRefusedError, once
from symbl_aio._io.transport import Transport
from symbl_aio._media.upload_chunks import Chunk, chunks, file_threads, prepare
from symbl_aio._protocol.answers import Answer
from symbl_aio._protocol.encode import Call
from symbl_aio.config import Limits, Timeouts
from symbl_aio.errors import (
    ConfigurationError,
    DecodeError,
    FileChangedError,
    TransportError,
    UntrustedServerError,
    UploadError,
    UploadStalledError,
)
from symbl_aio.media import Audio, Media, Video
from tests.support import LoopClock

SECRET = "k3y-0f-the-caller"
QUERY = (("webhookUrl", f"https://example.com/{SECRET}"),)
TOKEN = {"Authorization": f"Bearer {SECRET}"}
MIB = 2**20
READ = Call("GET", "/v1/job/j1", QUERY)
POST = Call("POST", "/v1/process/audio", QUERY)
PUT = Call("PUT", "/v1/process/audio/42", QUERY)


async def pieces(*chunks: bytes) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk


async def many(count: int, size: int = MIB) -> AsyncGenerator[bytes, None]:
    """Far more than the buffers of a socket hold, and little memory."""
    chunk = bytes(size)
    for _ in range(count):
        yield chunk


async def held_back(first: bytes, more: asyncio.Event) -> AsyncGenerator[bytes, None]:
    """A body whose end is not in hand yet."""
    yield first
    await more.wait()
    yield b"the end"


def body_of(*chunks: bytes, size: int | None = None) -> Body:
    return Body(pieces(*chunks), sum(map(len, chunks)) if size is None else size, no_matter)


def payload_of(*chunks: bytes) -> Payload:
    return Payload(lambda: pieces(*chunks), sum(map(len, chunks)), no_matter)


def no_matter(_sent: int, _total: int) -> None:
    pass


async def drain(body: Body) -> list[Chunk]:
    return [chunk async for chunk in body]


# The body


async def test_a_body_is_iterated_once():
    body = body_of(b"ab")
    assert await drain(body) == [b"ab"]
    with pytest.raises(ReplayRefusedError):
        aiter(body)


async def test_a_body_that_was_only_begun_is_not_iterated_again():
    body = body_of(b"ab", b"c")
    aiter(body)
    with pytest.raises(ReplayRefusedError):
        aiter(body)


async def test_complete_is_set_with_the_last_chunk_and_never_before():
    seen: list[tuple[object, bool]] = []

    async def watched() -> AsyncGenerator[bytes, None]:
        for chunk in (b"ab", b"c", b"de"):
            seen.append(("asked for", body.complete))
            yield chunk

    times = Timeouts(stall=1, answer=2)

    class Postponed(Deadline):
        def postpone(self, seconds: float) -> None:
            seen.append(("postponed", seconds == times.answer))

    body = Body(watched(), 5, no_matter)
    body.watch(Postponed(Deadlines(), 60), times)
    given = aiter(body)
    for _ in range(3):
        seen += [(await anext(given), body.complete)]
    assert seen == [
        ("asked for", False), ("postponed", False), (b"ab", False),
        ("asked for", False), ("postponed", False), (b"c", False),
        ("asked for", False), ("postponed", True), (b"de", True),
    ]  # fmt: skip


async def test_a_body_counts_as_started_once_it_is_asked_for_its_first_chunk():
    body = body_of(b"ab")
    iterator = aiter(body)
    assert not body.started
    await anext(iterator)
    assert body.started


async def test_a_body_tells_how_far_it_got():
    steps: list[tuple[int, int]] = []
    body = Body(pieces(b"ab", b"c"), 3, lambda sent, total: steps.append((sent, total)))
    await drain(body)
    assert steps == [(0, 3), (2, 3), (3, 3)]


async def test_a_body_longer_than_announced_never_becomes_complete():
    body = body_of(b"abc", b"de", size=4)
    iterator = aiter(body)
    assert await anext(iterator) == b"abc"
    with pytest.raises(UploadError, match="longer than the 4 bytes"):
        await anext(iterator)
    assert not body.complete
    assert isinstance(body.error, UploadError)


async def test_a_body_shorter_than_announced_never_becomes_complete():
    body = body_of(b"abc", size=4)
    with pytest.raises(UploadError, match="ended at 3 of 4 bytes"):
        await drain(body)
    assert not body.complete


async def test_a_revoked_body_hands_nothing_over_any_more():
    body = body_of(b"ab", b"c")
    iterator = aiter(body)
    await anext(iterator)
    assert body.revoke()
    with pytest.raises(ReplayRefusedError):
        await anext(iterator)
    assert not body.complete


async def test_a_chunk_that_was_being_read_when_the_body_was_revoked_is_kept_back():
    more = asyncio.Event()
    body = Body(held_back(b"ab", more), 9, no_matter)
    iterator = aiter(body)
    await anext(iterator)
    reading = asyncio.ensure_future(anext(iterator))
    await asyncio.sleep(0)
    assert body.revoke()
    more.set()
    with pytest.raises(ReplayRefusedError):
        await reading
    assert not body.complete


async def test_a_body_that_was_handed_over_cannot_be_revoked_but_an_answer_can_refuse_it():
    body = body_of(b"ab")
    await anext(aiter(body))
    assert not body.revoke()
    body.refused()
    assert body.revoke()


async def test_closing_waits_for_the_read_that_is_under_way_and_closes_the_source():
    more, closed = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncGenerator[bytes, None]:
        try:
            await more.wait()
            yield b"ab"
            yield b"c"
        finally:
            closed.set()

    body = Body(source(), 3, no_matter)
    reading = asyncio.ensure_future(anext(aiter(body)))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(body.aclose())
    await asyncio.sleep(0)
    assert not closing.done()
    more.set()
    await closing
    assert closed.is_set()
    with pytest.raises(ReplayRefusedError):
        await reading
    assert not body.complete


async def test_bytes_in_memory_are_given_in_pieces_so_that_a_long_one_can_be_cut_short():
    data = bytes(range(256)) * 4096 * 2
    given = [chunk async for chunk in once(data)]
    assert b"".join(given) == data
    assert len(given) > 1
    assert [chunk async for chunk in once(b"short")] == [b"short"]


# Headers and framing


async def test_a_body_goes_out_with_its_exact_length_and_nothing_made_up(serve, connect):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(201)

    server = await serve(script)
    answer = await connect(server.base_url).send(POST, TOKEN, body_of(b"abc", b"de"))
    assert answer.status == 201
    [head] = server.heads
    assert server.bodies == [b"abcde"]
    assert head.method == "POST"
    assert head.target == f"/v1/process/audio?webhookUrl=https%3A%2F%2Fexample.com%2F{SECRET}"
    assert head.all("Content-Length") == ["5"]
    assert head.all("Transfer-Encoding") == []
    assert head.all("Content-Type") == []
    assert head.all("Authorization") == [f"Bearer {SECRET}"]
    assert head.all("User-Agent") == [f"symbl-aio/{symbl_aio.__version__}"]
    assert head.all("Expect") == []


async def test_json_goes_out_with_its_exact_length_and_its_type(serve, connect):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(200)

    server = await serve(script)
    data = '{"url":"ü"}'.encode()
    call = Call("PUT", "/v1/x", (), (("Content-Type", "application/json"),), data)
    await connect(server.base_url).send(call, {})
    [head] = server.heads
    assert head.all("Content-Length") == [str(len(data))]
    assert head.all("Content-Type") == ["application/json"]
    assert head.all("Transfer-Encoding") == []
    assert server.bodies == [data]


async def test_a_path_goes_out_as_it_was_encoded(serve, connect):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(200)

    server = await serve(script)
    await connect(server.base_url).send(Call("GET", "/v1/job/a%25b%3Fc%20d%7E"), {})
    assert server.heads[0].target == "/v1/job/a%25b%3Fc%20d%7E"


async def test_the_answer_is_read_whole_with_lower_case_names_and_its_time(serve, connect):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(202, '{"ä": 1}', "X-Trace: T1")

    server = await serve(script)
    answer: Answer = await connect(server.base_url).send(READ, {})
    assert (answer.status, answer.json(), answer.headers["x-trace"]) == (202, {"ä": 1}, "T1")
    assert 0 < answer.elapsed < 60


@pytest.mark.parametrize(
    "charset",
    ["no-such-charset", "hex", "idna", "undefined", "punycode", "unicode_escape", "\u00ff"],
)
async def test_a_charset_that_cannot_be_used_costs_no_answer(serve, connect, charset):
    async def script(exchange):
        await exchange.request()
        await exchange.raw(
            f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset={charset}\r\n"
            "Content-Length: 2\r\n\r\n\xff{".encode("latin-1")
        )

    server = await serve(script)
    answer = await connect(server.base_url).send(READ, {})
    assert answer.text == "\N{REPLACEMENT CHARACTER}{"


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "utf-16", "utf-16le", "utf-32", "latin-1"])
async def test_an_answer_is_read_in_the_charset_that_it_names(serve, connect, charset):
    async def script(exchange):
        await exchange.request()
        said = '{"name": "Zoë"}'.encode(charset)
        await exchange.raw(
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset={charset}\r\n"
            f"Content-Length: {len(said)}\r\n\r\n".encode()
            + said
        )

    server = await serve(script)
    assert (await connect(server.base_url).send(READ, {})).json() == {"name": "Zoë"}


async def test_no_charset_makes_reading_an_answer_slow(serve, connect):
    said = b"a-b1." * 200_000  # as punycode, this would take minutes

    async def script(exchange):
        await exchange.request()
        await exchange.raw(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=punycode\r\n"
            b"Content-Length: %d\r\n\r\n" % len(said) + said
        )

    server = await serve(script)
    async with asyncio.timeout(10):
        assert (await connect(server.base_url).send(READ, {})).text == said.decode()


# No connection


@pytest.mark.parametrize("call", [READ, POST, PUT], ids=lambda call: call.method)
async def test_a_refused_connection_sent_nothing(connect, no_port, call, everything_told):
    body = None if call is READ else body_of(b"ab")
    with pytest.raises(TransportError) as raised:
        await connect(f"http://127.0.0.1:{no_port}").send(call, TOKEN, body)
    assert raised.value.sent == "no"
    assert "cannot connect" in str(raised.value)
    assert SECRET not in everything_told(raised.value)


async def test_a_name_that_does_not_resolve_sent_nothing_and_says_so(connect):
    with pytest.raises(TransportError, match="name does not resolve") as raised:
        await connect("http://nowhere.invalid", allow_http=True).send(PUT, {}, body_of(b"ab"))
    assert raised.value.sent == "no"


async def test_a_server_that_speaks_no_tls_was_sent_nothing(serve, connect):
    async def script(exchange):
        await exchange.reader.read(1)
        await exchange.answer(200)

    server = await serve(script)
    transport = connect(server.base_url.replace("http:", "https:"))
    with pytest.raises(TransportError, match="TLS") as raised:
        await transport.send(PUT, TOKEN, body_of(b"ab"))
    assert raised.value.sent == "no"
    assert not isinstance(raised.value, UntrustedServerError)


async def test_a_certificate_that_does_not_verify_is_an_error_of_its_own(serve, connect):
    async def script(exchange):
        await exchange.request()

    server = await serve(script, tls=True)
    with pytest.raises(UntrustedServerError, match="certificate does not verify") as raised:
        await connect(server.base_url).send(PUT, TOKEN, body_of(b"ab"))
    assert raised.value.sent == "no"
    assert server.heads == []


async def test_a_handshake_that_never_ends_is_given_up_and_sent_nothing(serve, connect):
    async def script(exchange):
        await exchange.read_no_more()

    server = await serve(script)
    transport = connect(server.base_url.replace("http:", "https:"), connect=0.2)
    with pytest.raises(TransportError, match="cannot connect") as raised:
        await transport.send(PUT, TOKEN, body_of(b"ab"))
    assert raised.value.sent == "no"


# The connection breaks


@pytest.mark.parametrize("ending", ["reset", "close"])
@pytest.mark.parametrize("call", [POST, PUT], ids=lambda call: call.method)
async def test_a_break_before_the_end_of_the_body_leaves_it_provably_incomplete(
    serve, connect, call, ending, everything_told
):
    async def script(exchange):
        await exchange.head()
        if ending == "reset":
            exchange.reset()

    server = await serve(script)
    body = Body(held_back(b"ab", asyncio.Event()), 9, no_matter)
    with pytest.raises(TransportError) as raised:
        await connect(server.base_url).send(call, TOKEN, body)
    assert raised.value.sent == "partial"
    assert len(server.heads) == server.connections == 1
    assert SECRET not in everything_told(raised.value)


async def test_a_reset_in_the_middle_of_a_large_body_leaves_it_provably_incomplete(serve, connect):
    async def script(exchange):
        await exchange.head()
        await exchange.reader.readexactly(3 * MIB)
        exchange.reset()

    server = await serve(script)
    body = Body(many(64), 64 * MIB, no_matter)
    with pytest.raises(TransportError) as raised:
        await connect(server.base_url).send(PUT, TOKEN, body)
    assert raised.value.sent == "partial"
    assert not body.complete
    assert server.connections == 1


async def test_a_read_that_breaks_may_have_arrived(serve, connect, everything_told):
    async def script(exchange):
        await exchange.request()

    server = await serve(script)
    with pytest.raises(TransportError) as raised:
        await connect(server.base_url).send(READ, TOKEN)
    assert raised.value.sent == "maybe"
    assert SECRET not in everything_told(raised.value)


class Sources:
    """The same bytes as every kind of body that is ever sent."""

    def __init__(self, directory: Path) -> None:
        self.data = b"\x00\x00\x00\x18ftypmp42" + bytes(3 * MIB)
        self.path = directory / "a.mp4"
        self.path.write_bytes(self.data)

    async def body(self, kind: str) -> Body | None:
        async def stream() -> AsyncIterator[bytes]:
            for at in range(0, len(self.data), 100_000):
                yield self.data[at : at + 100_000]

        media: Media
        match kind:
            case "json":
                return None
            case "bytes":
                media = Audio(self.data)
            case "file" | "file, sent by the kernel":
                media = Video(self.path)
            case _:
                media = Audio(stream(), size=len(self.data))
        prepared = await prepare(media, file_threads(60.0))
        assert prepared.size is not None
        kernel = SendFile()
        send_part = kernel.send if "kernel" in kind else None
        return Body(chunks(prepared, MIB, send_part), prepared.size, no_matter, kernel=kernel)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    return Sources(tmp_path)


JSON_PUT = Call("PUT", "/v1/process/text/42", (), (("Content-Type", "application/json"),), b"{}")


@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize("reused", [False, True], ids=["new connection", "reused connection"])
@pytest.mark.parametrize("kind", ["json", "bytes", "file", "file, sent by the kernel", "stream"])
async def test_a_put_that_was_read_whole_and_then_dropped_is_never_sent_again(
    serve, connect, sources, kind, reused, ending
):
    async def script(exchange):
        if reused and exchange.server.connections == 1:
            await exchange.request()
            await exchange.answer(200)
        await exchange.request()
        if ending == "reset":
            exchange.reset()

    server = await serve(script)
    transport = connect(server.base_url)
    if reused:
        await transport.send(JSON_PUT, {})
    call = JSON_PUT if kind == "json" else PUT
    with pytest.raises(TransportError) as raised:
        await transport.send(call, TOKEN, await sources.body(kind))
    assert raised.value.sent == "maybe"
    assert len(server.heads) == 1 + reused
    assert server.connections == 1
    assert server.bodies[-1] == (b"{}" if kind == "json" else sources.data)


async def test_aiohttp_alone_would_send_that_put_twice(serve):
    # If this ever fails, the test above has lost its point.
    async def script(exchange):
        await exchange.request()

    server = await serve(script)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.put(server.base_url, data=b"{}")
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    "nonsense",
    [
        b"HTTP/1.1 201 Created\r\nContent-Type: appl",
        b"HTTP/1.1 201 Created\r\nContent-Length: 50\r\n\r\n{",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"\x15\x03\x01\x00\x02\x02\x16 no HTTP at all\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
    ],
    ids=["half a head", "half a body", "half a chunk", "no HTTP", "no status"],
)
async def test_an_answer_that_cannot_be_read_leaves_it_open_what_happened(
    serve, connect, nonsense, everything_told
):
    async def script(exchange):
        await exchange.request()
        await exchange.raw(nonsense)

    server = await serve(script)
    with pytest.raises(TransportError) as raised:
        await connect(server.base_url).send(PUT, TOKEN, body_of(b"ab"))
    assert raised.value.sent == "maybe"
    assert len(server.heads) == 1
    assert SECRET not in everything_told(raised.value)


# Answers before the end of the body


@pytest.mark.parametrize("status", [401, 413, 429, 503])
@pytest.mark.parametrize("then", ["stays", "ends its side", "goes on reading"])
async def test_an_early_answer_is_read_and_the_rest_of_the_body_kept(serve, connect, status, then):
    async def script(exchange):
        await exchange.head()
        await exchange.reader.readexactly(MIB)
        await exchange.answer(status, '{"message": "early"}', "Retry-After: 7")
        if then == "stays":
            await exchange.read_no_more()
        # A server that closes at once, with a body on its way to it, resets the connection: it
        # is chance whether the client's kernel hands out the answer before that.
        if then == "ends its side":
            exchange.writer.write_eof()
        if then != "stays":
            while await exchange.reader.read(MIB):
                pass

    server = await serve(script)
    body = Body(many(256), 256 * MIB, no_matter)
    answer = await connect(server.base_url).send(POST, {}, body)
    assert (answer.status, answer.json()) == (status, {"message": "early"})
    assert answer.headers["retry-after"] == "7"
    assert not body.complete


async def test_nothing_else_goes_over_a_connection_whose_body_was_cut_short(serve, connect):
    async def script(exchange):
        head = await exchange.head()
        if head.length > MIB:
            await exchange.reader.readexactly(MIB)
            await exchange.answer(413)
            await exchange.reader.read()
        else:
            await exchange.reader.readexactly(head.length)
            await exchange.answer(201)

    server = await serve(script)
    transport = connect(server.base_url)
    assert (await transport.send(POST, {}, Body(many(64), 64 * MIB, no_matter))).status == 413
    assert (await transport.send(POST, {}, body_of(b"ab"))).status == 201
    assert server.connections == 2


@pytest.mark.parametrize("call", ["submission", "read"])
async def test_an_answer_that_comes_twice_is_not_that_of_the_next_request(serve, connect, call):
    """A proxy repeats it, and the ids of one recording would be taken for those of another."""
    repeated, asked = asyncio.Event(), asyncio.Event()

    async def script(exchange):
        number = exchange.server.connections
        while True:
            head, _ = await exchange.request()
            await exchange.answer(200, f'"{number} {head.all("X-Number")[0]}"')
            if number == 1:
                await asked.wait()
                await exchange.answer(200, '"1 first"')
                repeated.set()

    async def send(number: str) -> object:
        headers = {"X-Number": number}
        body = body_of(b"ab") if call == "submission" else None
        return (await transport.send(PUT if body else READ, headers, body)).json()

    transport = connect((await serve(script)).base_url)
    assert await send("first") == "1 first"
    asked.set()
    await repeated.wait()
    for _ in range(5):
        await asyncio.sleep(0)  # the loop reads it
    assert await send("second") == "2 second"
    assert await send("third") == "2 third"


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="its clock is that of Linux")
@pytest.mark.parametrize("sleeps", [True, False])
async def test_no_connection_is_used_that_is_older_than_a_sleep_of_the_machine(
    serve, connect, monkeypatch, sleeps
):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(200)
        await exchange.request()
        if sleeps:  # a router has forgotten the connection meanwhile
            exchange.reset()
        else:
            await exchange.answer(200)

    server = await serve(script)
    transport = connect(server.base_url)
    await transport.send(PUT, {}, body_of(b"ab"))
    now = time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda clock: now(clock) + 3600 * sleeps)
    await transport.send(PUT, {}, body_of(b"ab"))
    assert server.connections == 1 + sleeps


async def test_a_submission_uses_no_connection_that_was_idle_for_long_and_a_read_does(
    serve, connect, monkeypatch
):
    async def script(exchange):
        while True:
            await exchange.request()
            await exchange.answer(200)

    monkeypatch.setattr("symbl_aio._io.transport.SUBMISSION_KEEPALIVE", 0.0)
    server = await serve(script)
    transport = connect(server.base_url)
    for _ in range(2):
        await transport.send(PUT, {}, body_of(b"ab"))
    assert server.connections == 2
    for _ in range(2):
        await transport.send(READ, {})
    assert server.connections == 3


async def test_a_server_that_speaks_first_is_not_connected_to_for_ever(serve, connect):
    async def script(exchange):
        await exchange.raw(b"220 mail.example.com ESMTP\r\n")
        await exchange.reader.read()

    server = await serve(script)
    with pytest.raises(TransportError, match="not valid HTTP"):
        await connect(server.base_url).send(PUT, {}, body_of(b"ab"))
    assert server.connections == 1


async def test_a_refusal_whose_text_is_cut_off_is_still_a_refusal(serve, connect):
    async def script(exchange):
        await exchange.request()
        await exchange.raw(b'HTTP/1.1 429 Full\r\nContent-Length: 99\r\n\r\n{"message')

    server = await serve(script)
    answer = await connect(server.base_url).send(POST, {}, body_of(b"ab"))
    assert (answer.status, answer.text) == (429, '{"message')


async def test_407_without_a_proxy_of_ours_is_an_answer_like_any_other(serve, connect):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(407, '{"message": "log in"}')

    server = await serve(script)
    answer = await connect(server.base_url).send(POST, {}, body_of(b"ab"))
    assert (answer.status, answer.json()) == (407, {"message": "log in"})


@pytest.mark.parametrize("status", [307, 400, 429, 500])
async def test_a_refusal_longer_than_will_be_read_is_still_a_refusal(serve, connect, status):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(status, b"x" * 5000)

    server = await serve(script)
    answer = await connect(server.base_url, limits=Limits(answer_bytes=1000)).send(READ, {})
    assert answer.status == status
    assert len(answer.text) <= 1000


async def test_of_a_refusal_no_more_is_read_than_can_be_shown(serve, connect):
    sent, gone = 0, asyncio.Event()

    async def script(exchange):
        nonlocal sent
        await exchange.request()
        await exchange.raw(b"HTTP/1.1 502 So\r\nContent-Length: %d\r\n\r\n" % (128 * MIB))
        try:
            for _ in range(128):
                await exchange.raw(bytes(MIB))
                sent += 1
        finally:
            gone.set()

    answer = await connect((await serve(script)).base_url).send(READ, TOKEN)
    assert (answer.status, len(answer.text)) == (502, MIB)
    await gone.wait()
    assert sent < 32  # what the buffers of both sides hold


async def test_an_answer_above_the_limit_is_not_read(serve, connect):
    async def script(exchange):
        await exchange.request()
        await exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while True:
            await exchange.raw(bytes(MIB))

    server = await serve(script)
    with pytest.raises(DecodeError, match=r"Limits\.answer_bytes \(3000000\)") as raised:
        await connect(server.base_url, limits=Limits(answer_bytes=3_000_000)).send(READ, {})
    assert len(raised.value.raw) == 1000


async def test_an_answer_at_the_limit_is_read(serve, connect):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(200, b"x" * 1000)

    server = await serve(script)
    answer = await connect(server.base_url, limits=Limits(answer_bytes=1000)).send(READ, {})
    assert len(answer.text) == 1000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", [READ, POST, PUT], ids=lambda call: call.method)
async def test_a_redirect_is_an_answer_and_not_followed(serve, connect, status, call):
    async def script(exchange):
        while True:
            await exchange.request()
            await exchange.answer(status, "", f"Location: {exchange.server.base_url}/elsewhere")

    server = await serve(script)
    body = None if call is READ else body_of(b"ab")
    assert (await connect(server.base_url).send(call, TOKEN, body)).status == status
    assert len(server.heads) == 1


# Time


async def test_a_server_that_stops_reading_is_given_up(serve, connect, everything_told):
    async def script(exchange):
        await exchange.head()
        await exchange.read_no_more()

    server = await serve(script)
    body = Body(many(256), 256 * MIB, no_matter)
    with pytest.raises(
        UploadStalledError, match=r"the server took no more of it for 0\.2 s"
    ) as raised:
        await connect(server.base_url, stall=0.2).send(POST, TOKEN, body)
    assert isinstance(raised.value, TimeoutError)
    assert not body.complete
    assert server.connections == 1
    assert SECRET not in everything_told(raised.value)


async def test_a_source_that_gives_nothing_is_given_up_and_the_server_not_blamed(serve, connect):
    async def script(exchange):
        await exchange.request()

    server = await serve(script)
    body = Body(held_back(b"ab", asyncio.Event()), 9, no_matter)
    with pytest.raises(UploadStalledError, match="source gave no more") as raised:
        await connect(server.base_url, stall=0.2).send(POST, TOKEN, body)
    assert "server" not in str(raised.value)


async def test_an_upload_may_take_longer_than_all_timeouts_together(serve, connect, monkeypatch):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(201)

    loop = asyncio.get_running_loop()
    real, passed = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: real() + passed)

    async def slow() -> AsyncGenerator[bytes, None]:
        nonlocal passed
        for _ in range(20):
            passed += 50
            await asyncio.sleep(0)  # and let every clock that has run down ring
            await asyncio.sleep(0)
            yield b"ab"

    server = await serve(script)
    transport = connect(server.base_url, connect=60, read=60, stall=60, answer=60)
    assert (await transport.send(POST, {}, Body(slow(), 40, no_matter))).status == 201


@pytest.mark.parametrize("kind", ["json", "bytes", "file", "stream"])
async def test_an_answer_that_never_comes_leaves_it_open_what_happened(
    serve, connect, sources, kind
):
    async def script(exchange):
        while True:
            await exchange.request()

    server = await serve(script)
    transport = connect(server.base_url, answer=0.2)
    call, body = PUT, await sources.body(kind)
    if body is None:
        call, body = JSON_PUT, Body(once(b"{}"), 2, no_matter)
    with pytest.raises(TransportError, match="no answer in time") as raised:
        await transport.send(call, TOKEN, body)
    assert raised.value.sent == "maybe"
    assert len(server.heads) == 1


async def test_an_answer_that_came_while_the_process_stood_still_is_read(
    serve, connect, monkeypatch
):
    """A laptop sleeps, a container is paused, or other code blocks the loop."""
    clock = LoopClock(monkeypatch)

    async def script(exchange):
        await exchange.request()
        await exchange.answer(201)
        clock.ahead += 3600

    transport = connect((await serve(script)).base_url)
    answer = await transport.send(JSON_PUT, TOKEN, Body(once(b"{}"), 2, no_matter))
    assert answer.status == 201


@pytest.mark.parametrize("call", [READ, Call("POST", "/v1/x", body=b"{}")], ids=["GET", "POST"])
async def test_what_only_asks_has_the_time_of_a_read_whatever_its_method(serve, connect, call):
    async def script(exchange):
        await exchange.request()
        await exchange.server.held.wait()

    server = await serve(script)
    with pytest.raises(TransportError, match="no answer in time") as raised:
        await connect(server.base_url, connect=0.1, read=0.1).send(call, TOKEN)
    assert raised.value.sent == "maybe"


async def test_a_cancelled_exchange_closes_its_connection_and_its_source(serve, connect):
    closed = asyncio.Event()

    async def script(exchange):
        await exchange.head()
        exchange.server.noticed.set()
        await exchange.reader.read()
        closed.set()

    server = await serve(script)
    body = Body(held_back(b"ab", asyncio.Event()), 9, no_matter)
    sending = asyncio.ensure_future(connect(server.base_url).send(POST, TOKEN, body))
    await server.noticed.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await closed.wait()
    assert not body.complete


# Sources that fail


async def test_a_file_that_changes_while_it_is_sent_fails_with_its_own_error_and_cause(
    serve, connect, sources
):
    async def script(exchange):
        await exchange.request()

    server = await serve(script)
    body = await sources.body("file")
    sources.path.unlink()
    with pytest.raises(FileChangedError) as raised:
        await connect(server.base_url).send(POST, TOKEN, body)
    assert isinstance(raised.value.__cause__, FileNotFoundError)
    assert server.bodies == []


@pytest.mark.parametrize("chunks,size", [((b"abc",), 4), ((b"abc", b"de"), 4)])
async def test_a_body_of_another_length_than_announced_is_never_completed(
    serve, connect, chunks, size
):
    async def script(exchange):
        await exchange.request()

    server = await serve(script)
    with pytest.raises(UploadError):
        await connect(server.base_url).send(POST, {}, body_of(*chunks, size=size))
    assert server.bodies == []


@pytest.mark.parametrize("ending", ["accepted", "early", "dropped", "stalled", "refused"])
async def test_no_file_stays_open_however_it_ends(serve, connect, sources, no_port, ending):
    async def script(exchange):
        if ending == "stalled":
            await exchange.head()
            await exchange.read_no_more()
        if ending == "early":
            await exchange.head()
            await exchange.answer(413)
            await exchange.read_no_more()
        if ending == "dropped":
            await exchange.head()
            exchange.reset()
            return
        await exchange.request()
        await exchange.answer(201)

    server = await serve(script)
    if ending != "accepted":
        with sources.path.open("r+b") as file:
            file.truncate(256 * MIB)
    body = await sources.body("file")
    url = f"http://127.0.0.1:{no_port}" if ending == "refused" else server.base_url
    try:
        answer = await connect(url, stall=0.2).send(POST, {}, body)
        assert answer.status == {"accepted": 201, "early": 413}[ending]
    except (TransportError, UploadError):
        assert ending in ("dropped", "stalled", "refused")
    assert [file.path for file in psutil.Process().open_files() if "a.mp4" in file.path] == []


async def test_nothing_is_left_to_complain_later(serve, connect, caplog):
    async def script(exchange):
        await exchange.head()
        exchange.reset()

    server = await serve(script)
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            with pytest.raises(TransportError):
                await connect(server.base_url).send(POST, {}, Body(many(64), 64 * MIB, no_matter))
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_closed_transport_leaves_no_timer_to_the_loop(serve, connect, monkeypatch):
    """It would stay for a minute, and a web service may open a client for each request."""

    async def script(exchange):
        await exchange.request()
        await exchange.answer(200)

    loop = asyncio.get_running_loop()
    timers, call_at = [], loop.call_at

    def record(*arguments, **options):
        timers.append(call_at(*arguments, **options))
        return timers[-1]

    transport = connect((await serve(script)).base_url)
    with monkeypatch.context() as patched:
        patched.setattr(loop, "call_at", record)
        await transport.send(READ, {})
        await transport.aclose()
    assert timers
    assert [timer for timer in timers if not timer.cancelled() and timer.when() > loop.time()] == []


# Borrowed sessions


async def test_a_borrowed_session_is_used_and_not_closed(serve, connect):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(200)

    server = await serve(script)
    async with aiohttp.ClientSession(headers={"X-Proxy": "mine"}) as session:
        transport: Transport = connect(server.base_url, session=session)
        await transport.send(POST, {}, body_of(b"ab"))
        await transport.aclose()
        assert not session.closed
    assert server.heads[0].all("X-Proxy") == ["mine"]


async def test_a_borrowed_session_that_raises_for_status_does_not_do_so_here(serve, connect):
    async def script(exchange):
        await exchange.request()
        await exchange.answer(429)

    server = await serve(script)
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        transport = connect(server.base_url, session=session)
        assert (await transport.send(POST, {}, body_of(b"ab"))).status == 429


async def test_a_borrowed_session_that_is_closed_is_refused(connect):
    session = aiohttp.ClientSession()
    await session.close()
    with pytest.raises(ConfigurationError, match="session is closed"):
        connect("http://127.0.0.1:1", session=session)


async def test_a_borrowed_session_that_is_closed_later_is_named_as_the_reason(connect, no_port):
    session = aiohttp.ClientSession()
    transport = connect(f"http://127.0.0.1:{no_port}", session=session)
    await session.close()
    with pytest.raises(ConfigurationError, match="session was closed"):
        await transport.send(POST, {}, body_of(b"ab"))


async def test_cookies_of_the_server_are_not_sent_back(serve, connect):
    async def script(exchange):
        while True:
            await exchange.request()
            await exchange.answer(200, "{}", "Set-Cookie: who=42; Path=/")

    server = await serve(script)
    # By name: a jar would take none from a bare address anyway.
    transport = connect(server.base_url.replace("127.0.0.1", "localhost"))
    await transport.send(READ, {})
    await transport.send(READ, {})
    assert [head.all("Cookie") for head in server.heads] == [[], []]


async def test_a_call_for_the_labs_goes_to_their_host(serve, connect):
    async def script(exchange) -> None:
        await exchange.head()
        await exchange.answer(200)

    usual, labs = await serve(script), await serve(script)
    transport = connect(usual.base_url, labs_url=labs.base_url)

    await transport.send(Call("GET", "/v1/a", labs=True), {})
    await transport.send(Call("GET", "/v1/b"), {})

    assert [head.target for head in labs.heads] == ["/v1/a"]
    assert [head.target for head in usual.heads] == ["/v1/b"]
