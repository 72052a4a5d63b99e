"""Good answers that only look odd, and error pages that are not JSON."""

import zlib

import pytest

from symbl_aio._core import wire
from symbl_aio._core.wire import Answer
from tests.io.test_transport import POST, body_of

IDS = '{"conversationId": "42", "jobId": "j1"}'


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (IDS.encode("utf-8-sig"), "application/json"),
        (IDS.encode("utf-8-sig"), "application/json; charset=utf8"),
        (IDS.encode("utf-16"), "application/json"),
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
    assert wire.decode_accepted(answer) == ("42", "j1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Got more than 8190 bytes\x1b[31m\n", "Got more than 8190 bytes [31m"),
        ("<html><head><title>Bad &amp; long</title></head><p>x</html>", "Bad & long"),
        ("<p>Too <b>long</b></p>", "Too long"),
        ("", ""),
    ],
)
def test_an_error_page_is_quoted_on_one_line(text, told):
    assert wire.error_excerpt(Answer(400, {}, text)) == told


async def test_a_long_request_line_reaches_the_local_server(server, connect):
    call = wire.Call("GET", "/v1/job/j1", (("trackers", "x" * 50_000),))
    answer = await connect(server.base_url).send(call, {})
    assert (answer.status, wire.error_message(answer) != "") == (401, True)
