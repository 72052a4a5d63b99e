"""Webhook URLs and the content of calls: verified and decoded without I/O."""

from __future__ import annotations

import json
from urllib.parse import urlencode, urlsplit

from hypothesis import given
from hypothesis import strategies as st

from symbl_aio._protocol.webhook_calls import (
    WebhookCall,
    is_genuine,
    mark,
    read_call,
    webhook_url,
)
from tests.tables import table

nonces = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


def test_a_url_carries_the_nonce_and_its_mark_below_the_base():
    url = webhook_url("https://us.example/hooks/", "shared", "n0nce")

    assert url == f"https://us.example/hooks/n0nce/{mark('shared', 'n0nce')}"
    assert url == webhook_url("https://us.example/hooks", "shared", "n0nce")


def test_a_mark_is_the_same_in_every_process_and_after_every_restart():
    # Worked out by hand: HMAC-SHA256, in hexadecimal.
    assert mark("key", "The quick brown fox jumps over the lazy dog") == (
        "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
    )


@given(secret=st.text(min_size=1), nonce=nonces)
def test_a_url_that_a_holder_of_the_secret_made_is_genuine(secret: str, nonce: str):
    *_, shown = webhook_url("https://us.example/hooks", secret, nonce).rpartition("/")

    assert is_genuine(secret, nonce, shown)
    assert urlsplit(webhook_url("https://us.example", "s", "n")).hostname == "us.example"


@table("shown", ["", "0" * 64, "ü", mark("other", "nonce"), mark("s", "nonc")])
def test_any_other_mark_is_not_genuine_whatever_it_is(shown: str):
    assert not is_genuine("s", "nonce", shown)


@given(secret=st.text(min_size=1), other=st.text(min_size=1), nonce=nonces, strange=nonces)
def test_a_mark_is_of_one_secret_and_one_nonce(secret: str, other: str, nonce: str, strange: str):
    shown = mark(secret, nonce)

    assert is_genuine(other, nonce, shown) == (other.encode() == secret.encode())
    assert is_genuine(secret, strange, shown) == (strange == nonce)


@given(
    nonce=st.one_of(st.text(), st.binary(), st.none(), st.integers()),
    shown=st.one_of(st.text(), st.binary(), st.none(), st.integers()),
)
def test_whatever_stands_in_a_path_is_judged_and_never_an_exception(nonce: object, shown: object):
    assert not is_genuine("s", nonce, shown)


def test_a_path_that_is_no_utf_8_is_not_taken_for_another():
    assert not is_genuine("s", "n\udcff", mark("s", "n?"))
    assert not is_genuine("s", "n?", mark("s", "n\udcff"))


# What a call says

IDS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1).filter(
    lambda text: text.isprintable() and not text.isspace() and not set(text) & set("/\\.")
)


@given(job_id=IDS, status=st.text(max_size=20), key=st.sampled_from(["jobId", "id"]))
def test_a_call_is_read_as_json_and_as_a_form_under_both_keys(job_id: str, status: str, key: str):
    said = {key: job_id, "status": status}
    told = WebhookCall(job_id, status)

    assert read_call(json.dumps(said).encode()) == told
    assert read_call(json.dumps(said, ensure_ascii=False).encode()) == told
    assert read_call(urlencode(said | {"status": status or "x"}).encode()) == (
        WebhookCall(job_id, status or "x")
    )


@table(
    "body",
    [
        b'{"jobId": "j1", "status": "completed"}',
        b'{"id": "j1", "status": "completed"}',
        b'{"id": "an event", "jobId": "j1", "status": "completed"}',
        b'{"jobId": null, "id": "j1", "status": "completed", "more": [1, {"a": 2}]}',
        b' \r\n{"status":"completed","jobId":"j1"}\n',
        b'\xef\xbb\xbf{"jobId": "j1", "status": "completed"}',
        '{"jobId": "j1", "status": "completed"}'.encode("utf-16"),
        b"jobId=j1&status=completed",
        b"status=completed&id=j1&more=",
        b"jobId=j%31&status=complete%64",
    ],
)
def test_whatever_the_header_says_the_content_decides(body: bytes):
    assert read_call(body) == WebhookCall("j1", "completed")


def test_an_id_that_is_a_number_is_a_text():
    assert read_call(b'{"jobId": 5179649407582208, "status": "failed"}') == (
        WebhookCall("5179649407582208", "failed")
    )


@table(
    "body",
    [
        b"",
        b" ",
        b"\0",
        b"\xff\xfe\xfd",
        b"null",
        b"[]",
        b'"jobId"',
        b"{}",
        b'{"jobId": "j1"}',
        b'{"status": "completed"}',
        b'{"jobId": "j1", "status": null}',
        b'{"jobId": "j1", "status": ["completed"]}',
        b'{"jobId": "", "status": "completed"}',
        b'{"jobId": true, "status": "completed"}',
        b'{"jobId": 1.5, "status": "completed"}',
        b'{"jobId": {"id": "j1"}, "status": "completed"}',
        b'{"jobId": "..", "status": "completed"}',
        b'{"jobId": "a/b", "status": "completed"}',
        b'{"jobId": "j\\u0000", "status": "completed"}',
        b'{"jobId": "\\ud800", "status": "completed"}',
        b'[{"jobId": "j1", "status": "completed"}]',
        b'{"jobId": "j1", "status": "completed"',
        b"jobId=j1",
        b"jobId=&status=completed",
        b"jobId=..&status=completed",
        b"jobId=j1&status=completed&" + b"a=1&" * 200,
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b"9" * 60_000,
        b"&" * 60_000,
        b"<job><id>j1</id><status>completed</status></job>",
    ],
)
def test_what_names_no_job_and_no_status_says_nothing(body: bytes):
    assert read_call(body) is None


@given(st.binary(max_size=300))
def test_no_bytes_are_an_exception(body: bytes):
    read_call(body)
