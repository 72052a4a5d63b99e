"""Ids of the API."""

from __future__ import annotations

from uuid import RFC_4122, UUID

from symbl_aio.server.ids import random_uuid


def test_a_job_has_a_random_uuid() -> None:
    texts = [random_uuid() for _ in range(200)]

    assert len(set(texts)) == 200
    assert [str(UUID(text)) for text in texts] == texts
    assert {UUID(text).version for text in texts} == {4}
    assert {UUID(text).variant for text in texts} == {RFC_4122}
    assert {text[19] for text in texts} == set("89ab")
