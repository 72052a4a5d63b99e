from __future__ import annotations

import re
from base64 import b64decode
from datetime import UTC, datetime
from hashlib import sha256
from html import unescape

import pytest
from attrs import evolve

from symbl_aio.report import Entry, Recording, render_list, render_page
from symbl_aio.report.page import policy_of
from tests.report.test_article import CONTENT
from tests.report.test_elements import Reader


def policy(page: str) -> dict[str, list[str]]:
    (found,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    rules = [rule.split() for rule in unescape(found).split(";")]
    return {name: given for name, *given in rules}


def test_a_page_needs_nothing_but_itself():
    page = render_page([CONTENT])

    for tag, found in Reader(page).tags:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (found.get(name) or "#").startswith(("#", "data:,")), (tag, found)
    assert "@import" not in page
    assert "url(" not in page


def test_the_policy_allows_this_style_and_this_script_alone():
    page = render_page([CONTENT])
    rules = policy(page)

    assert rules["default-src"] == ["'none'"]
    assert "media-src" not in rules
    assert "connect-src" not in rules
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        ((inside,)) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", page, re.DOTALL)
        (allowed,) = rules[rule]
        assert b64decode(allowed[len("'sha256-") : -1]) == sha256(inside.encode()).digest()
    assert " style=" not in page


@pytest.mark.parametrize(
    "url,allowed",
    [
        ("https://media.test/a b;c,d.mp3?token=1", "https://media.test/a%20b%3Bc%2Cd.mp3"),
        ("https://ann:secret@media.test:8443/a.mp3", "https://media.test:8443/a.mp3"),
        ("http://[::1]:80/a.mp3", "http://[::1]:80/a.mp3"),
        ("https://m\u00fcnchen.test/a.mp3", "https://xn--mnchen-3ya.test/a.mp3"),
        ("data:audio/mp4;base64,AAAA", "data:"),
        ("./talk.mp4", "'self' file:"),
    ],
)
def test_the_policy_allows_the_recording(url: str, allowed: str):
    page = render_page([evolve(CONTENT, recording=Recording(url=url))])

    assert " ".join(policy(page)["media-src"]) == allowed


@pytest.mark.parametrize(
    "url",
    [
        "https://a.test;connect-src *//b.mp3",
        "https://a.test, script-src *//b",
        "https:///b.mp3",
        "http://[::1/b.mp3",
    ],
)
def test_no_link_adds_a_rule_to_the_policy(url: str):
    rules = policy(render_page([evolve(CONTENT, recording=Recording(url=url))]))

    assert set(rules) == set(policy(render_page([CONTENT])))


def test_the_policy_allows_renaming_on_the_own_host():
    assert "connect-src 'self'" in policy_of([evolve(CONTENT, rename_url="members")])


def test_several_conversations_are_listed_and_keep_their_ids_apart():
    page = render_page([CONTENT, evolve(CONTENT, title="Tuesday")])

    ids = [found["id"] for _, found in Reader(page).tags if "id" in found]
    assert len(ids) == len(set(ids))
    assert "<title>2 conversations</title>" in page
    assert '<a href="#c2" dir="auto">Tuesday</a>' in page
    for link in re.findall(r'href="#([^"]+)"', page):
        assert link in ids


def test_a_title_may_be_given():
    assert "<title>Week 9</title>" in render_page([CONTENT], title="Week 9")


def test_a_list_links_to_pages():
    page = render_list(
        "<Conversations>", [Entry("<Monday>", "/p?a=1&b", datetime(2026, 3, 2, tzinfo=UTC))]
    )

    assert '<a href="/p?a=1&amp;b" dir="auto">&lt;Monday&gt;</a>' in page
    assert "2 March 2026, 00:00 UTC" in page
    assert "<ol>" not in render_list("There is no such page")
