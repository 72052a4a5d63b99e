"""What a server repeats of a request is shown without the secrets in it."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

from hypothesis import given
from hypothesis import strategies as st

from symbl_aio._protocol.redact import redact, secrets_of
from tests.tables import table


@table(
    "url, secret",
    [
        ("https://store.example/a.mp4?sig=abc%2Bdef%3D%3D&e=1", "abc%2Bdef%3D%3D"),
        ("https://store.example/a.mp4?one-value-without-a-name", "one-value-without-a-name"),
        ("https://user:pass-word@store.example/a.mp4", "pass-word"),
        ("https://us.example/hooks/n0nce/0123456789abcdef", "0123456789abcdef"),
        ("https://[broken/a.mp4?sig=abc", "https://[broken/a.mp4?sig=abc"),
    ],
)  # fmt: skip
def test_the_secrets_of_a_url_are_known(url: str, secret: str):
    assert secret in secrets_of(url)


def test_host_and_words_of_the_path_are_no_secrets():
    assert secrets_of("https://store.example/recordings/standup-of-monday.mp4") == ()


SECRETS = [
    "0123456789abcdef",
    "abc%2Bdef%3D%3D",
    "abc+/def==",
    'with "quotes" and \\',
    "für/alle Fälle",
]


@table("secret", SECRETS)
@table(
    "echo",
    [
        lambda text: f"No access with {text}.",
        lambda text: json.dumps({"message": text}),
        lambda text: json.dumps({"message": text}, ensure_ascii=False).replace("/", "\\/"),
        lambda text: f"/v1/process/audio?{urlencode({'webhookUrl': text}, quote_via=quote)}",
        lambda text: f"/v1/process/audio?webhookUrl={quote(text, safe='')}",
    ],
)
def test_a_secret_is_struck_out_however_it_is_encoded(secret: str, echo):
    assert redact(echo(secret), [secret]) == echo("HERE").replace("HERE", "[secret]")


def test_of_two_secrets_the_longer_goes_first():
    assert redact("https://x/?a=12345678&b=12345678", ["12345678", "a=12345678&b=12345678"]) == (
        "https://x/?[secret]"
    )


def test_what_is_too_short_to_be_a_secret_stays_or_no_sentence_could_be_read():
    assert redact("the secret is a secret", ["secret", ""]) == "the secret is a secret"


digits = st.text("0123456789", min_size=8, max_size=12)


@given(words=st.lists(st.text("xyz ", min_size=1)), secrets=st.lists(digits))
def test_nothing_of_a_secret_is_left_and_nothing_else_is_touched(
    words: list[str], secrets: list[str]
):
    said = words + secrets

    shown = redact(" ".join(said), secrets)

    assert shown == " ".join([*words, *["[secret]"] * len(secrets)])
