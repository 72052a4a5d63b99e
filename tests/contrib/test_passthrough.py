"""A visitor's recording goes through the service whole or not at all, over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
from collections.abc import AsyncGenerator, AsyncIterator

import aiohttp
import pytest

from symbl_aio import (
    Limits,
    SubmissionAccepted,
    SubmissionEnded,
    SubmissionQueued,
    Text,
    Timeouts,
    UploadError,
)
from symbl_aio.contrib.passthrough import Incoming, read_incoming
from symbl_aio.contrib.problems import BadUploadError
from symbl_aio.testing import LocalSymbl
from tests.contrib.site import BOUNDARY, Site, as_form, form, get, post, site_of
from tests.support import QUICK, mp4_bytes

NOISE = random.Random(1).randbytes(700_000)
RECORDING = mp4_bytes(64) + NOISE


@pytest.fixture(params=["h11", "httptools", "aiohttp"])
async def site(request: pytest.FixtureRequest, server: LocalSymbl) -> AsyncIterator[Site]:
    async with site_of(request.param, server) as running:
        yield running


def arrived_whole(server: LocalSymbl, data: bytes = RECORDING) -> bool:
    (received,) = server.submissions
    return (
        received.accepted
        and received.complete
        and received.size == len(data)
        and received.sha256 == hashlib.sha256(data).hexdigest()
        and received.headers["Content-Length"] == str(len(data))
    )


def nothing_was_accepted(server: LocalSymbl) -> bool:
    return not any(received.accepted or received.complete for received in server.submissions)


async def test_a_body_arrives_byte_for_byte(site: Site, server: LocalSymbl):
    status, told, _ = await post(f"{site.url}/recordings", RECORDING)

    assert status == 200
    assert arrived_whole(server)
    assert told["job"] in server.jobs
    assert server.submissions[0].kind == "video"


async def test_the_file_of_a_form_arrives_byte_for_byte(site: Site, server: LocalSymbl):
    body = aiohttp.FormData()
    body.add_field("name", "Monday")
    body.add_field("file", RECORDING, filename="a.mp4")
    status, _, _ = await post(f"{site.url}/forms", body)

    assert status == 200
    assert arrived_whole(server)
    assert server.submissions[0].query["name"] == "Monday"


@pytest.mark.parametrize(
    "shape",
    [
        {"boundary": "a b:c'()+_,-./=?"},
        {"boundary": "x"},
        {"boundary": "-" * 69 + "x"},
        {"preamble": b"This is a form.\r\n"},
        {"preamble": b"\r\n"},
        {"filename": '"say \\"hi\\"; name=other.mp4"'},
        {"fields": {"name": "x\r\n" * 1000}},
    ],
    ids=lambda shape: next(iter(shape)),
)
async def test_a_form_of_any_lawful_shape_is_read(server: LocalSymbl, shape):
    # Bytes that only resemble a delimiter belong to the recording.
    data = RECORDING + b"\r\n--" + b"\r\n-" * 100
    async with site_of("httptools", server) as site:
        boundary = shape.get("boundary", BOUNDARY)
        status, _, _ = await post(f"{site.url}/recordings", form(data, **shape), as_form(boundary))

    assert status == 200
    assert arrived_whole(server, data)


@pytest.mark.parametrize("size", [13, 4095, 4096, 4097, 65536])
async def test_a_small_recording_goes_through_as_well(server: LocalSymbl, size: int):
    data = mp4_bytes(64)[:12] + NOISE[: size - 12]
    async with site_of("h11", server) as site:
        status, _, _ = await post(f"{site.url}/recordings", form(data), as_form())

    assert status == 200
    assert arrived_whole(server, data)


WAV = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + bytes(100)


async def test_its_first_bytes_tell_what_it_is(site: Site, server: LocalSymbl):
    for data in (WAV, b"OggS" + bytes(100)):
        status, _, _ = await post(f"{site.url}/recordings", data)
        assert status == 200

    assert [received.kind for received in server.submissions] == ["audio", "audio"]
    assert [r.headers.get("Content-Type") for r in server.submissions] == ["audio/wav", None]


@pytest.mark.parametrize(
    "body,headers,status,error",
    [
        (b"", {}, 400, "BadUploadError"),
        (b"%PDF-1.7 no recording", {}, 415, "MediaRejectedError"),
        (form(b"no recording either"), as_form(), 415, "MediaRejectedError"),
        (form(b""), as_form(), 400, "BadUploadError"),
        (form(b"", filename='""'), as_form(), 400, "BadUploadError"),
        (RECORDING, {"Content-Encoding": "gzip"}, 415, "BadUploadError"),
        (form(RECORDING), {"Content-Type": "multipart/form-data"}, 400, "BadUploadError"),
        (form(RECORDING), {"Content-Type": "multipart/mixed; boundary=x"}, 415, "BadUploadError"),
        (form(RECORDING, fields={"x": "x" * 70_000}), as_form(), 413, "BadUploadError"),
        (form(RECORDING, preamble=b"x" * 70_000), as_form(), 413, "BadUploadError"),
        (form(RECORDING), as_form("other"), 413, "BadUploadError"),
        (b"x", as_form(), 400, "BadUploadError"),
    ],
    ids="empty pdf pdf-form empty-form no-choice gzip no-boundary mixed fields preamble other "
    "cut".split(),
)
async def test_what_cannot_be_passed_on_is_refused_before_anything_is_sent(
    server: LocalSymbl, body: bytes, headers: dict[str, str], status: int, error: str
):
    for kind in ("h11", "aiohttp"):
        async with site_of(kind, server) as site:
            answered, told, _ = await post(f"{site.url}/recordings", body, headers)

        assert (answered, told["error"]) == (status, error)
        assert told["status"] == status
    assert server.submissions == []


async def test_a_form_without_its_last_line_break_says_how_a_form_ends(server: LocalSymbl):
    for data in (RECORDING[:20_000], RECORDING * 4):
        async with site_of("h11", server) as site:
            body = form(data, end=b"")
            status, told, _ = await post(f"{site.url}/recordings", body, as_form())

        assert (status, told["error"]) == (400, "BadUploadError")
        assert "is longer than" in told["detail"]
        assert "and a line break" in told["detail"]


async def test_a_refusal_reaches_a_visitor_who_is_still_sending(site: Site, server: LocalSymbl):
    sent = io.BytesIO(b"no recording" * 2_000_000)
    status, told, _ = await post(f"{site.url}/recordings", sent)

    assert (status, told["error"]) == (415, "MediaRejectedError")
    assert server.submissions == []
    assert (await post(f"{site.url}/recordings", RECORDING))[0] == 200


async def test_without_a_length_nothing_is_passed_on(site: Site, server: LocalSymbl):
    async def chunks() -> AsyncIterator[bytes]:
        yield RECORDING

    for headers in ({}, as_form()):
        status, told, _ = await post(f"{site.url}/recordings", chunks(), headers)
        assert (status, told["error"]) == (411, "BadUploadError")
    assert server.submissions == []


@pytest.mark.parametrize(
    "body",
    [
        form(RECORDING, after={"late": "1"}),
        form(RECORDING, after={"late": "x" * 70_000}),
        form(RECORDING, end=b""),
        form(RECORDING, end=b"\r\nAn epilogue.\r\n"),
        form(RECORDING)[: -len(BOUNDARY) - 8],
        form(RECORDING)[:-300_000],
        form(RECORDING + b"\r\n--" + BOUNDARY.encode() + b"--\r\n" + RECORDING),
    ],
    ids=["field", "long field", "no line break", "epilogue", "no end", "cut", "end inside"],
)
async def test_a_form_of_another_length_is_aborted_before_its_last_byte(
    site: Site, server: LocalSymbl, body: bytes
):
    status, told, _ = await post(f"{site.url}/recordings", body, as_form())

    assert (status, told["error"]) == (400, "BadUploadError")
    assert nothing_was_accepted(server)
    assert all(r.size < int(r.headers["Content-Length"]) for r in server.submissions)


@pytest.mark.parametrize("announced", [len(RECORDING) + 1, len(RECORDING) * 2])
async def test_a_visitor_who_announces_more_than_he_sends_gets_nothing_accepted(
    site: Site, server: LocalSymbl, announced: int
):
    reader, writer = await site.connect()
    writer.write(site.head("/recordings", f"Content-Length: {announced}") + RECORDING)
    writer.write_eof()
    await reader.read()
    writer.close()

    await site.heard.until(lambda: site.heard.of(SubmissionEnded))
    assert nothing_was_accepted(server)


async def test_what_is_more_than_announced_is_not_part_of_it(site: Site, server: LocalSymbl):
    reader, writer = await site.connect()
    writer.write(
        site.head("/recordings", f"Content-Length: {len(RECORDING)}", "Connection: close")
        + RECORDING
        + b"more"
    )
    await reader.read()
    writer.close()

    # Older uvicorns take it for a second request, refuse that and hang up; then nothing is.
    await site.heard.until(lambda: site.heard.of(SubmissionAccepted, SubmissionEnded))
    assert nothing_was_accepted(server) or arrived_whole(server)


async def leave_halfway(site: Site, server: LocalSymbl, body: bytes, *headers: str) -> None:
    """Send half of a body, wait until the API has some of it, and reset the connection."""
    _, writer = await site.connect()
    writer.write(site.head("/recordings", f"Content-Length: {len(body)}", *headers))
    writer.write(body[: len(body) // 2])
    await server.until(lambda: server.submissions and server.submissions[-1].size > 100_000)
    writer.transport.abort()


async def test_a_visitor_who_leaves_in_the_middle_aborts_it(site: Site, server: LocalSymbl):
    before = asyncio.all_tasks()
    await leave_halfway(site, server, RECORDING * 4)
    await leave_halfway(
        site, server, form(RECORDING * 4), f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
    )

    await site.heard.until(lambda: len(site.heard.of(SubmissionEnded)) == 2)
    assert nothing_was_accepted(server)
    assert await nobody_but(before)


async def nobody_but(before: set[asyncio.Task[object]]) -> bool:
    """Wait until no other task is left; the test's own time limit catches one that stays."""
    while left := asyncio.all_tasks() - before:
        await asyncio.wait(left)
    return True


async def test_a_full_account_is_a_503_that_says_when_to_come_back(server: LocalSymbl):
    server.hold_jobs()
    for kind in ("h11", "aiohttp"):
        server.inject("status:429", on="POST")
        async with site_of(kind, server) as site:
            status, told, headers = await post(f"{site.url}/recordings", RECORDING)

        assert (status, told["error"]) == (503, "ConcurrencyLimitError")
        assert int(headers["Retry-After"]) > 0
    assert not any(received.accepted for received in server.submissions)


async def test_who_waits_for_a_slot_in_vain_is_told_to_come_back(server: LocalSymbl):
    server.hold_jobs()
    limits = Limits(jobs=1, wait_for_slot=0.05)
    async with site_of("h11", server, limits=limits) as site:
        assert (await post(f"{site.url}/recordings", RECORDING))[0] == 200
        status, told, headers = await post(f"{site.url}/recordings", RECORDING)

    assert (status, told["error"]) == (503, "ConcurrencyLimitError")
    assert "Retry-After" in headers
    assert len(server.submissions) == 1


async def test_an_upload_of_unknown_outcome_is_told_with_its_key(server: LocalSymbl):
    server.inject("accept_then_drop", on="POST")
    async with site_of("h11", server) as site:
        status, told, _ = await post(f"{site.url}/recordings?key=monday", RECORDING)

    assert (status, told["sent"], told["key"]) == (502, "maybe", "monday")
    assert len(server.submissions) == 1


async def test_a_visitor_who_stalls_is_told_that_it_was_he(server: LocalSymbl):
    for kind in ("h11", "aiohttp"):
        async with site_of(kind, server, timeouts=Timeouts(stall=0.05)) as site:
            reader, writer = await site.connect()
            writer.write(site.head("/recordings", f"Content-Length: {2 * len(RECORDING)}"))
            writer.write(RECORDING)
            assert b" 408 " in await reader.readline()
            writer.close()
    assert nothing_was_accepted(server)


@pytest.mark.parametrize("sent", [b"", RECORDING[:1000]])
@pytest.mark.parametrize("kind", ["h11", "aiohttp"])
async def test_a_visitor_who_stalls_within_the_first_bytes_is_ended_too(
    server: LocalSymbl, kind: str, sent: bytes
):
    async with site_of(kind, server, timeouts=Timeouts(stall=0.05)) as site:
        reader, writer = await site.connect()
        writer.write(site.head("/recordings", f"Content-Length: {2 * len(RECORDING)}") + sent)
        assert b" 408 " in await reader.readline()
        writer.close()
    assert not server.submissions


@pytest.mark.parametrize("kind", ["h11", "aiohttp"])
async def test_a_visitor_who_stalls_within_a_form_is_ended_too(server: LocalSymbl, kind: str):
    lines = ("Content-Length: 5000", "Content-Type: multipart/form-data; boundary=b")
    async with site_of(kind, server, timeouts=Timeouts(stall=0.05)) as site:
        reader, writer = await site.connect()
        writer.write(site.head("/recordings", *lines) + b"--b\r\nContent-Disp")
        assert b" 408 " in await reader.readline()
        writer.close()


@pytest.mark.parametrize("kind", ["h11", "aiohttp"])
async def test_a_content_type_beyond_latin_1_is_a_bad_request(server: LocalSymbl, kind: str):
    async with site_of(kind, server) as site:
        reader, writer = await site.connect()
        head = site.head("/recordings", f"Content-Length: {len(RECORDING)}", "Content-Type: a/X")
        writer.write(head.replace(b"a/X", "a/\u20ac; boundary=\u4e00".encode()) + RECORDING)
        # A server that reads headers as Latin-1 sees other characters, and takes the body.
        assert int((await reader.readline()).split()[1]) in (200, 400)
        writer.close()


async def test_an_api_that_stalls_is_no_fault_of_the_visitor(server: LocalSymbl):
    server.inject("stall")
    body = io.BytesIO(RECORDING * 20)
    async with site_of("h11", server, timeouts=Timeouts(stall=0.5)) as site:
        status, told, _ = await post(f"{site.url}/recordings", body)

    assert (status, told["error"]) == (504, "UploadStalledError")


@pytest.mark.parametrize("kind", ["h11", "httptools", "aiohttp"])
async def test_a_visitor_is_slowed_down_to_the_pace_of_the_api(server: LocalSymbl, kind: str):
    """While the API does not read, the service does not either: TCP's buffers fill up."""
    server.inject("stall")
    total, piece, sent = 500_000_000, bytes(2**20), 0
    async with site_of(kind, server, timeouts=Timeouts(stall=0.2)) as site:
        _, writer = await site.connect()
        writer.write(site.head("/recordings", f"Content-Length: {total}") + RECORDING)

        async def send() -> None:
            nonlocal sent
            while sent < total:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)

        sending = asyncio.create_task(send())
        await site.heard.until(lambda: site.heard.of(SubmissionEnded))
        taken = sent
        sending.cancel()
        writer.transport.abort()
    assert taken < 50_000_000


async def test_it_is_appended_to_a_conversation_in_its_turn(site: Site, server: LocalSymbl):
    _, told, _ = await post(f"{site.url}/recordings", RECORDING)
    status, _, _ = await post(f"{site.url}/recordings?to={told['conversation']}", WAV)

    assert status == 200
    (appended,) = server.appended(told["conversation"])
    assert appended.kind == "audio"


async def test_the_first_byte_is_taken_once_there_is_a_slot(server: LocalSymbl):
    server.hold_jobs()
    async with site_of("h11", server, limits=Limits(jobs=1)) as site:
        await post(f"{site.url}/recordings", RECORDING)
        second = asyncio.create_task(post(f"{site.url}/recordings", RECORDING))
        third = asyncio.create_task(get(f"{site.url}/symbl/jobs/unknown"))
        assert (await third)[0] == 404  # others are answered meanwhile
        await site.heard.until(lambda: len(site.heard.of(SubmissionQueued)) == 2)
        assert len(server.submissions) == 1
        server.release()
        assert (await second)[0] == 200


# Without a framework


class Visitor:
    """A body that arrives in pieces, one for each call of ``more``; ``left``: it was closed."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.left = asyncio.Event()
        self.asked = asyncio.Event()
        self._more = asyncio.Event()
        self._leaves = False

    def more(self) -> None:
        self._more.set()

    def leave(self) -> None:
        self._leaves = True
        self._more.set()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            yield self.body[:100_000]
            self.asked.set()
            await self._more.wait()
            if self._leaves:
                raise BadUploadError(400, "the visitor left before the end of the body")
            yield self.body[100_000:]
        finally:
            self.left.set()

    async def incoming(self) -> Incoming:
        headers = {"content-length": str(len(self.body))}
        return await read_incoming(self.chunks(), headers)


async def test_a_handler_that_is_cancelled_withdraws_its_upload(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        visitor = Visitor(RECORDING)
        passing = asyncio.create_task((await visitor.incoming()).pass_on(symbl))
        await visitor.asked.wait()
        passing.cancel()
        await asyncio.wait([passing])

        assert passing.cancelled()
        await visitor.left.wait()
    assert nothing_was_accepted(server)


async def test_a_handler_that_is_cancelled_in_the_queue_sends_nothing(server: LocalSymbl):
    server.hold_jobs()
    async with server.client(limits=Limits(jobs=1), **QUICK) as symbl:
        await symbl.submit(Text("It has the only slot."))
        visitor = Visitor(RECORDING)
        passing = asyncio.create_task((await visitor.incoming()).pass_on(symbl))
        await asyncio.wait([passing], timeout=0.01)
        assert symbl.stats().queued == 1
        passing.cancel()
        await asyncio.wait([passing])

        assert symbl.stats().queued == 0
        await visitor.left.wait()
    assert len(server.submissions) == 1


async def test_two_requests_of_one_key_are_one_upload(server: LocalSymbl):
    async with server.client(**QUICK) as symbl:
        first, second = Visitor(RECORDING), Visitor(RECORDING)
        passing = asyncio.create_task((await first.incoming()).pass_on(symbl, key="monday"))
        await first.asked.wait()
        again = asyncio.create_task((await second.incoming()).pass_on(symbl, key="monday"))
        given_up = asyncio.create_task((await second.incoming()).pass_on(symbl, key="monday"))
        await asyncio.wait([again, given_up], timeout=0.01)
        given_up.cancel()  # which takes nothing from the others
        first.more()

        assert (await passing).id == (await again).id
        assert not second.asked.is_set()
        await second.left.wait()
    assert arrived_whole(server)


@pytest.mark.parametrize("first_one", ["leaves", "stalls", "is cancelled"])
async def test_the_second_request_of_a_key_takes_the_place_of_the_first(
    server: LocalSymbl, first_one: str
):
    # Until a first chunk is full, the time for a connection counts as well.
    timeouts = Timeouts(connect=1.0, stall=0.2 if first_one == "stalls" else 60.0)
    async with server.client(**QUICK, timeouts=timeouts) as symbl:
        first, second, third = (Visitor(RECORDING) for _ in range(3))
        passing = asyncio.create_task((await first.incoming()).pass_on(symbl, key="monday"))
        await first.asked.wait()
        again = [
            asyncio.create_task((await other.incoming()).pass_on(symbl, key="monday"))
            for other in (second, third)
        ]
        await asyncio.wait(again, timeout=0.01)
        if first_one == "leaves":
            first.leave()
        elif first_one == "is cancelled":
            passing.cancel()
        await asyncio.wait([passing])
        await second.asked.wait()
        second.more()

        jobs = await asyncio.gather(*again)
        assert jobs[0].id == jobs[1].id
        assert not third.asked.is_set()
        assert passing.cancelled() or isinstance(passing.exception(), BadUploadError)
    assert arrived_whole(server)


@pytest.mark.parametrize("length", ["", "-1", "1_000", "\u0661", "9" * 5000, "12 "])
async def test_a_length_is_a_number_or_none(length: str):
    visitor = Visitor(RECORDING)
    with pytest.raises(BadUploadError) as caught:
        await read_incoming(visitor.chunks(), {"content-length": length})
    assert caught.value.status in (411, 400)


async def test_a_body_that_breaks_in_a_way_of_its_own_is_an_upload_error(server: LocalSymbl):
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield RECORDING[:200_000]
        raise RuntimeError("out of paper")

    async with server.client(**QUICK) as symbl:
        incoming = await read_incoming(chunks(), {"content-length": str(len(RECORDING))})
        with pytest.raises(UploadError, match="RuntimeError"):
            await incoming.pass_on(symbl)
    assert nothing_was_accepted(server)
