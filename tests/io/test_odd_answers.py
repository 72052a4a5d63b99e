"""Good answers that only look odd, and error pages that are not JSON."""

import gzip
import json
import zlib

import aiohttp
import pytest
from aiohttp import web

from symbl_aio import (
    AccessToken,
    Audio,
    BadRequestError,
    Config,
    MediaOptions,
    SymblClient,
    Text,
    Tracker,
)
from symbl_aio._protocol import answers, encode
from symbl_aio._protocol.answers import Answer
from tests.io.test_transport import POST, body_of
from tests.tables import table

IDS = '{"conversationId": "42", "jobId": "j1"}'


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (IDS.encode("utf-8-sig"), "application/json"),
        (IDS.encode("utf-8-sig"), "application/json; charset=utf8"),
        (IDS.encode("utf-16"), "application/json"),
        (IDS.encode("utf-16-le"), "application/json"),
        (IDS.encode("utf-32-be"), "application/json"),
        (IDS.encode(), "application/json; charset=utf-16"),
        (IDS.encode(), 'text/html; charset="UTF-8"'),
        (IDS.encode(), "text/plain; charset=nonsense"),
        (b"\r\n " + IDS.encode() + b"\0\0\n", "text/plain"),
        (b'{"conversationId": 42, "jobId": "j1", "x": "a\nb"}', "application/json"),
        (zlib.compress(IDS.encode()), "application/json\r\nContent-Encoding: deflate"),
    ],
)
async def test_a_harmless_deviation_is_no_doubt(serve, connect, body, headers):
    async def script(exchange):
        await exchange.request()
        head = f"HTTP/1.1 201 Created\r\nContent-Type: {headers}\r\nContent-Length: {len(body)}"
        await exchange.raw(head.encode() + b"\r\n\r\n" + body)

    server = await serve(script)
    answer = await connect(server.base_url).send(POST, {}, body_of(b"ab"))
    assert answers.decode_accepted(answer) == ("42", "j1")


@table(
    "text,told",
    [
        ("Got more than 8190 bytes\x1b[31m\n", "Got more than 8190 bytes [31m"),
        ("<html><head><title>Bad &amp; long</title></head><p>x</html>", "Bad & long"),
        ("<p>Too <b>long</b></p>", "Too long"),
        ("<title>Too long", "Too long"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ('{"code": 7}', ""),
        ("", ""),
    ],
)
def test_an_error_page_is_quoted_on_one_line(text, told):
    assert answers.error_excerpt(Answer(400, {}, text)) == told


async def test_a_long_request_line_reaches_the_local_server(server, connect):
    call = encode.Call("GET", "/v1/job/j1", (("trackers", "x" * 50_000),))
    answer = await connect(server.base_url).send(call, {})
    assert (answer.status, answers.error_message(answer) != "") == (401, True)


JSON = "Content-Type: application/json"
GZIP = "Content-Encoding: gzip"
ODD = {
    "mark": (201, [JSON], IDS.encode("utf-8-sig")),
    "padding": (201, [JSON], b"\r\n \t" + IDS.encode() + b"\r\n\r\n"),
    "zeros": (201, [JSON], IDS.encode() + b"\0"),
    "utf-16": (201, [JSON], IDS.encode("utf-16")),
    "odd charset": (201, [JSON + '; charset=;;x="y'], IDS.encode()),
    "unknown charset": (201, [JSON + "; charset=klingon"], IDS.encode()),
    "text": (201, ["Content-Type: text/plain"], IDS.encode()),
    "no type": (201, [], IDS.encode()),
    "empty type": (201, ["Content-Type:"], IDS.encode()),
    "broken type": (201, ["Content-Type: ;/json;;"], IDS.encode()),
    "200": (200, [JSON], IDS.encode()),
    "202": (202, [JSON], IDS.encode()),
    "twice the same key": (201, [JSON], b'{"jobId": "x", ' + IDS.encode()[1:]),
    "more keys": (201, [JSON], IDS.encode()[:-1] + b', "new": {"deep": [null, 1e999]}}'),
    "number": (201, [JSON], b'{"conversationId": 42, "jobId": "j1"}'),
    "gzip": (201, [JSON, GZIP], gzip.compress(IDS.encode())),
    "gzip in capitals": (201, [JSON, GZIP.replace("gzip", "GZIP")], gzip.compress(IDS.encode())),
    "deflate": (201, [JSON, "Content-Encoding: deflate"], zlib.compress(IDS.encode())),
    "identity": (201, [JSON, "Content-Encoding: identity"], IDS.encode()),
    "chunks": (
        201,
        [JSON, "Transfer-Encoding: chunked"],
        b"27\r\n" + IDS.encode() + b"\r\n0\r\n\r\n",
    ),
    "chunks of gzip": (201, [JSON, GZIP, "Transfer-Encoding: chunked"], None),
    "closed": (201, [JSON, "Connection: close"], IDS.encode()),
    "cookies": (201, [JSON, "Set-Cookie: a=b", "Set-Cookie: ;;;=\x7e"], IDS.encode()),
    "a header twice": (201, [JSON, "Content-Type: text/html"], IDS.encode()),
    "after 100": (100, [], b""),
}


def odd_answer(name):
    status, headers, body = ODD[name]
    if body is None:
        packed = gzip.compress(IDS.encode())
        body = b"%x\r\n" % len(packed) + packed + b"\r\n0\r\n\r\n"
    first = b""
    if status == 100:
        first = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        status, headers, body = 201, [JSON], IDS.encode()
    lines = [f"HTTP/1.1 {status} ", *headers]
    if "Transfer-Encoding: chunked" not in headers and name != "closed":
        lines.append(f"Content-Length: {len(body)}")
    return first + "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("own", [True, False], ids=["own session", "client's"])
@pytest.mark.parametrize("name", ODD)
async def test_an_odd_acceptance_is_read_and_the_submission_sent_once(serve, quick, name, own):
    async def script(exchange):
        head, _ = await exchange.request()
        if head.method == "POST":
            await exchange.raw(odd_answer(name))
        else:
            await exchange.answer(200, b'{"id": "j1", "status": "completed"}')
        if name == "closed" or head.method != "POST":
            return
        await script(exchange)

    assert len(IDS) == 0x27
    server = await serve(script)
    session = aiohttp.ClientSession(auto_decompress=False) if own else None
    try:
        config = Config(base_url=server.base_url, **quick)
        async with SymblClient(AccessToken("t"), config=config, session=session) as client:
            job = await client.submit(Text("Hello."))
            assert (job.conversation_id, job.id) == ("42", "j1")
            await job
    finally:
        if session is not None:
            await session.close()
    assert [head.method for head in server.heads].count("POST") == 1


# Fifteen inline trackers of ten phrases with a file: a request line over 8,190 bytes

TRACKERS = tuple(
    Tracker(
        f"Tracker number {n}", tuple(f"phrase {k} of the tracker {n} to find" for k in range(10))
    )
    for n in range(15)
)


async def test_fifteen_trackers_of_ten_phrases_go_with_a_file(server, quick):
    async with server.client(**quick) as client:
        await client.process(Audio(b"RIFF"), MediaOptions(trackers=TRACKERS))
    (received,) = server.submissions
    assert received.accepted
    assert len(received.query["trackers"]) > 5_000
    assert [seen["name"] for seen in json.loads(received.query["trackers"])] == [
        tracker.name for tracker in TRACKERS
    ]


async def test_a_server_that_takes_no_such_line_is_quoted(quick):
    async def take(_request):
        return web.json_response({"conversationId": "42", "jobId": "j1"}, status=201)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        config = Config(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}", **quick)
        async with SymblClient(AccessToken("t"), config=config) as client:
            with pytest.raises(BadRequestError, match=r"8190") as refused:
                await client.submit(Audio(b"RIFF"), MediaOptions(trackers=TRACKERS))
    finally:
        await runner.cleanup()
    assert refused.value.status == 400
    assert "without a message" not in str(refused.value)
