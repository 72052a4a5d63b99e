"""Every call that submits, and the one that asks for a job, as a server receives them."""

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from symbl_aio import (
    Audio,
    AudioURL,
    Credentials,
    MediaOptions,
    SymblClient,
    Text,
    TextOptions,
    Tracker,
    TrackerRef,
    Utterance,
    Video,
    VideoURL,
)
from symbl_aio.config import Polls
from symbl_aio.errors import ConfigurationError, NotFoundError
from symbl_aio.job import Job
from symbl_aio.media import Media
from symbl_aio.server.request_log import Received
from symbl_aio.testing import LocalSymbl
from tests.options import STORED_TRACKER, in_query, options_for, options_of

QUICK = Polls(floor=0.01, age_factor=0.01, ceiling=0.05, per_second=1000)

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 9000
WAV = b"RIFF\x24\x08\x00\x00WAVEfmt " + bytes(range(256)) * 9000

MEDIA: list[Media] = [
    Text([Utterance("Cast off.", speaker="Ana")]),
    Audio(WAV),
    Video(MP4),
    AudioURL("http://127.0.0.1:9/a.wav?sig=x%2By"),
    VideoURL("http://127.0.0.1:9/v.mp4"),
]
CONTENT: dict[str, dict[str, object]] = {
    "text": {"messages": [{"payload": {"content": "Cast off."}, "from": {"name": "Ana"}}]},
    "audio/url": {"url": "http://127.0.0.1:9/a.wav?sig=x%2By"},
    "video/url": {"url": "http://127.0.0.1:9/v.mp4"},
}
FILES = {"audio": WAV, "video": MP4}
TYPES = {"audio": "audio/wav", "video": "video/mp4"}

each_media = pytest.mark.parametrize("media", MEDIA, ids=lambda media: media.kind)
each_verb = pytest.mark.parametrize("verb", ["POST", "PUT"])


@pytest.fixture
async def client(server: LocalSymbl) -> AsyncIterator[SymblClient]:
    async with server.client(polls=QUICK) as symbl:
        yield symbl


@pytest.fixture
async def stored_tracker(client: SymblClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a tracker under a known id: the server refuses those that it does not know."""
    monkeypatch.setattr("symbl_aio.server.management.records.random_id", lambda: STORED_TRACKER)
    await client.trackers.create(Tracker("berth", ["pier", "quay", "berth", "dock", "slip"]))


async def sent(
    client: SymblClient,
    server: LocalSymbl,
    media: Media,
    options: TextOptions | MediaOptions | None = None,
    verb: str = "POST",
) -> tuple[Received, Job]:
    """Submit or append, and give what the server received of it."""
    server.inject("no_webhook", on=verb, times=1)
    if verb == "POST":
        job = await client.submit(media, options)
        return server.submissions[-1], job
    first = await client.submit(Text("Hello."))
    await first
    return await appended(client, server, first, media, options)


async def appended(
    client: SymblClient,
    server: LocalSymbl,
    to: Job,
    media: Media,
    options: TextOptions | MediaOptions | None,
) -> tuple[Received, Job]:
    job = await client.append(to, media, options)
    assert server.submissions[-1].conversation_id == to.conversation_id
    return server.submissions[-1], job


def check_frame(received: Received, media: Media, verb: str, conversation_id: str | None) -> None:
    """Check all that does not depend on the options."""
    assert received.method == verb
    assert received.path == f"/v1/process/{media.kind}" + (
        f"/{conversation_id}" if verb == "PUT" else ""
    )
    headers = received.headers
    assert headers.get("Transfer-Encoding") is None
    assert headers["Content-Length"] == str(received.size)
    assert headers["Authorization"].startswith("Bearer ")
    assert "x-api-key" not in headers
    assert headers["User-Agent"].startswith("symbl-aio")
    assert headers.get("Content-Type") == TYPES.get(media.kind, "application/json")
    if media.kind in FILES:
        data = FILES[media.kind]
        assert received.size == len(data)
        assert received.sha256 == hashlib.sha256(data).hexdigest()
    assert received.complete
    assert received.status == 201


@each_verb
@each_media
async def test_each_of_the_ten_calls_sends_the_media_and_nothing_else(server, client, media, verb):
    received, job = await sent(client, server, media, None, verb)
    check_frame(received, media, verb, job.conversation_id)
    assert received.query == {}
    assert received.body == CONTENT.get(media.kind)
    assert (received.conversation_id, received.job_id) == (job.conversation_id, job.id)


@pytest.mark.usefixtures("stored_tracker")
@each_verb
@each_media
async def test_each_of_the_ten_calls_takes_every_option_where_its_page_says(
    server, client, media, verb
):
    options = options_for(media, **{field: value for field, value, _, _ in options_of(media)})
    received, job = await sent(client, server, media, options, verb)
    check_frame(received, media, verb, job.conversation_id)
    wanted = {name: value for _, _, name, value in options_of(media)}
    if media.kind in FILES:
        assert received.query == {name: in_query(value) for name, value in wanted.items()}
        assert received.body is None
    else:
        assert received.query == {}
        assert received.body == CONTENT[media.kind] | wanted


@pytest.mark.usefixtures("stored_tracker")
@each_verb
@pytest.mark.parametrize("media", [MEDIA[0], MEDIA[3], MEDIA[4]], ids=lambda media: media.kind)
async def test_fields_move_to_the_query_when_asked_to(server, client, media, verb):
    options = options_for(
        media,
        name="Bay",
        enable_summary=True,
        trackers=[TrackerRef(STORED_TRACKER)],
        in_query=["enable_summary", "trackers"],
    )
    received, _ = await sent(client, server, media, options, verb)
    assert received.query == {"enableSummary": "true", "trackers": f'[{{"id":"{STORED_TRACKER}"}}]'}
    assert received.body == CONTENT[media.kind] | {"name": "Bay"}


@each_verb
@each_media
async def test_parameters_without_a_field_go_where_the_caller_says(server, client, media, verb):
    extra: dict[str, Any] = {"extra_query": {"beta": True, "list": [1, "ä b"], "text": "a&b=c+d"}}
    if media.kind not in FILES:
        extra["extra_body"] = {"alpha": {"deep": [None, 1.5]}}
    received, _ = await sent(client, server, media, options_for(media, **extra), verb)
    assert received.query == {"beta": "true", "list": '[1,"ä b"]', "text": "a&b=c+d"}
    if media.kind not in FILES:
        assert received.body == CONTENT[media.kind] | {"alpha": {"deep": [None, 1.5]}}


@pytest.mark.parametrize("content_type", ["audio/wav", "audio/wave", "audio/mpeg", "audio/mp3"])
async def test_a_content_type_that_the_caller_names_is_sent(server, client, content_type):
    received, _ = await sent(client, server, Audio(b"bytes", content_type=content_type))
    assert received.headers["Content-Type"] == content_type


@each_verb
@pytest.mark.parametrize(
    "head,wanted",
    [
        (b"fLaC\x00\x00\x00\x22", None),
        (b"OggS\x00\x02\x00\x00", None),
        (b"FORM\x00\x00\x00\x00AIFF", None),
        (b"#!AMR\n", None),
        (b"\x0b\x77\x00\x00", None),
        (b"\x00\x00\x00\x18ftypM4A ", None),
        (b"nobody knows what this is", None),
        (b"RIFF\x24\x08\x00\x00WAVEfmt ", "audio/wav"),
        (b"ID3\x04\x00\x00\x00\x00\x00\x00", "audio/mpeg"),
    ],
    ids="flac ogg aiff amr ac3 m4a unknown wav mp3".split(),
)
async def test_sound_of_another_format_has_no_content_type_at_all(
    server, client, tmp_path, head, wanted, verb
):
    path = tmp_path / "recording"
    path.write_bytes(head + bytes(2000))
    received, _ = await sent(client, server, Audio(path), None, verb)
    assert received.headers.get("Content-Type") == wanted
    assert received.size == path.stat().st_size


async def test_a_bare_path_is_sent_as_what_its_first_bytes_are(server, client, tmp_path):
    (tmp_path / "one").write_bytes(MP4)
    (tmp_path / "two").write_bytes(WAV)
    await client.submit(tmp_path / "one")
    await client.submit(str(tmp_path / "two"))
    kinds = sorted((r.kind, r.headers["Content-Type"], r.size) for r in server.submissions)
    assert kinds == [("audio", "audio/wav", len(WAV)), ("video", "video/mp4", len(MP4))]


@pytest.mark.parametrize("kind", [Audio, Video])
async def test_a_stream_has_its_announced_length(server, client, kind):
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(MP4), 9999):
            yield MP4[at : at + 9999]

    received, _ = await sent(client, server, kind(chunks(), size=len(MP4)))
    assert received.headers["Content-Length"] == str(len(MP4))
    assert received.headers.get("Transfer-Encoding") is None
    assert received.sha256 == hashlib.sha256(MP4).hexdigest()
    assert received.headers.get("Content-Type") == (None if kind is Audio else "video/mp4")


async def test_text_has_its_length_in_bytes(server, client):
    said = "Über die Fähre: 渡し船 🛥 "
    received, _ = await sent(client, server, Text(said))
    body = json.dumps(
        {"messages": [{"payload": {"content": said}}]}, ensure_ascii=False, separators=(",", ":")
    )
    assert received.headers["Content-Length"] == str(len(body.encode()))
    assert received.body == json.loads(body)


async def test_a_long_text_arrives_whole(server, client):
    said = [f"Line {number}: " + "ä" * 1000 for number in range(1500)]
    received, _ = await sent(client, server, Text(said))
    assert received.size > 2**21
    assert received.body == {"messages": [{"payload": {"content": line}} for line in said]}


@each_verb
@each_media
async def test_the_old_header_takes_the_place_of_the_new_one(server, media, verb):
    async with server.client(polls=QUICK, auth_header="x-api-key") as client:
        received, job = await sent(client, server, media, None, verb)
        await job.refresh()
    assert received.headers["x-api-key"]
    assert "Authorization" not in received.headers
    assert server.requests[-1].status == 200


ODD_IDS = ["a b", "5%2F7", "a?b=c", "a#b", "Größe", "a;b,c@d", "~a.b-c_d", "%", "+"]


@pytest.mark.parametrize("odd", ODD_IDS)
@each_media
async def test_the_id_of_a_conversation_is_encoded_in_the_path(server, client, media, odd):
    with pytest.raises(NotFoundError):
        await client.append(odd, media)
    [received] = server.submissions
    assert received.path == f"/v1/process/{media.kind}/{odd}"
    assert received.conversation_id == odd
    assert received.query == {}


@pytest.mark.parametrize("odd", ODD_IDS)
async def test_the_id_of_a_job_is_encoded_in_the_path(server, client, odd):
    with pytest.raises(NotFoundError):
        await client.job(odd).refresh()
    assert ("GET", f"/v1/job/{odd}", 404) in [
        (seen.method, seen.path, seen.status) for seen in server.requests
    ]


@pytest.mark.parametrize("bad", ["", " ", "a/b", "..", ".", "a\\b", "a\nb"])
@each_media
async def test_an_id_that_would_be_another_path_is_refused_before_anything_is_sent(
    server, client, media, bad
):
    with pytest.raises(ConfigurationError, match="conversation_id"):
        client.append(bad, media)
    assert server.requests == []


async def test_a_job_is_asked_for_with_a_get_under_its_own_id(server, client):
    server.hold_jobs()
    job = await client.submit(Text("Hello."))
    before = len(server.requests)
    await job.refresh()
    asked = server.requests[before:]
    assert asked
    assert {(seen.method, seen.path, seen.status) for seen in asked} == {
        ("GET", f"/v1/job/{job.id}", 200)
    }
    server.release()
    await job


async def test_the_token_is_asked_for_once_and_sent_with_every_call(server, client):
    for media in MEDIA:
        await client.submit(media)
    tokens = {received.headers["Authorization"] for received in server.submissions}
    assert len(tokens) == 1
    paths = [seen.path for seen in server.requests]
    assert paths.count("/oauth2/token:generate") == 1


async def test_another_application_is_another_account():
    async with LocalSymbl(app_id="mine", app_secret="my-own-secret") as server:
        symbl = SymblClient(
            Credentials("mine", "my-own-secret"), config=server.client(polls=QUICK).config
        )
        async with symbl:
            await symbl.submit(Text("Hello."))
        assert server.submissions[0].status == 201
