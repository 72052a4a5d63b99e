"""What a call costs in a database that has grown for months, and what an older one becomes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from symbl_aio.server.accepted_submission import SubmissionPayload
from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.job import Job, Status
from symbl_aio.server.storage import schema
from symbl_aio.server.storage.changes import (
    ConversationDeleted,
    ConversationSaved,
    JobAccepted,
    JobEnded,
)
from symbl_aio.server.storage.rows import Position, Rows
from symbl_aio.server.storage.store import ListQuery

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
SMALL, LARGE = 100, 2000


@contextmanager
def filled(count: int, body: str | None = None) -> Iterator[Rows]:
    """Yield the rows of a new database with so many conversations, and a job of each."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection)
        rows = Rows(connection, "app", Path("bodies"), keep_bodies=True)
        for number in range(count):
            started_at = FIRST + timedelta(minutes=number)
            conversation = Conversation(f"c{number}", "A call", started_at)
            job = Job(conversation.id, SubmissionPayload("text", {}, None), id=f"j{number}")
            rows.write(ConversationSaved(None, conversation))
            rows.write(JobAccepted(job))
            rows.write(JobEnded(job, Status.COMPLETED))
        if body is not None:
            connection.execute("UPDATE jobs SET body = ?", (body,))
        yield rows


def steps(rows: Rows, call: Callable[[], object]) -> int:
    """Return the hundreds of instructions that SQLite executes in a call."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    rows.connection.set_progress_handler(step, 100)
    call()
    rows.connection.set_progress_handler(None, 0)
    return count


def later(days: float) -> float:
    return time.time() + days * 86400


def read_all(rows: Rows, query: ListQuery) -> list[str]:
    """Return the ids of a list that is read in parts, as the store reads it."""
    found: list[str] = []
    position: Position | None = None
    while True:
        heads, position = rows.heads(query, position, 0, 50)
        found += [head.id for head in heads]
        if position is None:
            return found


@pytest.mark.parametrize(
    "call",
    [
        lambda rows: rows.forget_jobs(later(31)),
        lambda rows: rows.expired(later(-1), None),
        lambda rows: rows.expired(later(-1), "c50"),
        lambda rows: rows.expired(later(1), "c50"),
    ],
    ids=["no job to forget", "none expired", "this one not expired", "this one expired"],
)
def test_the_search_for_old_ones_costs_the_same_however_many_are_kept(
    call: Callable[[Rows], object],
) -> None:
    with filled(SMALL) as small, filled(LARGE) as large:
        assert steps(large, lambda: call(large)) <= steps(small, lambda: call(small)) + 2


@pytest.mark.parametrize("descending", [False, True])
def test_a_list_that_is_read_in_parts_costs_as_much_as_its_length(descending: bool) -> None:
    query = ListQuery(start=FIRST, end=FIRST + timedelta(days=9), descending=descending)
    with filled(SMALL) as small, filled(LARGE) as large:
        assert len(read_all(large, query)) == LARGE
        cost = steps(large, lambda: read_all(large, query))
        assert cost < 1.5 * LARGE / SMALL * steps(small, lambda: read_all(small, query))


@pytest.mark.parametrize("descending", [False, True])
def test_what_is_skipped_in_a_list_is_not_sorted(descending: bool) -> None:
    query = ListQuery(descending=descending)
    with filled(LARGE) as rows:
        plain = steps(rows, lambda: rows.heads(ListQuery(), None, LARGE - 20, 20))
        assert steps(rows, lambda: rows.heads(query, None, LARGE - 20, 20)) < 2 * plain


def test_all_jobs_and_recordings_that_are_old_are_forgotten_some_at_a_time() -> None:
    with filled(1200, body="recording") as rows:
        for number in range(600):
            rows.write(ConversationDeleted(f"c{number}"))
        assert rows.forget_jobs(later(-1)) == (0, [])

        rounds = [rows.forget_jobs(later(1)) for _ in range(3)]

        assert rounds == [(1000, ["recording"] * 500), (200, ["recording"] * 100), (0, [])]
        left = rows.connection.execute("SELECT count(*), count(body) FROM jobs").fetchall()
        assert left == [(600, 0)]


def test_a_call_about_a_job_that_was_forgotten_is_not_made() -> None:
    with filled(1) as rows:
        for job in ("j0", "gone"):
            rows.connection.execute(
                "INSERT INTO webhooks (application, job, status) VALUES ('app', ?, 'completed')",
                (job,),
            )

        assert [(job.id, calls) for job, calls in rows.state().webhooks] == [
            ("j0", [Status.COMPLETED])
        ]


def test_a_database_of_the_first_version_keeps_its_content_and_forgets_its_orphans() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(schema.MIGRATIONS[0])
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute(
            "INSERT INTO conversations (application, id, started_at, changed_at, head, document)"
            " VALUES ('app', 'kept', 5, 6, '{}', '{}')"
        )
        for job, application, conversation in (
            ("a", "app", "kept"),
            ("b", "app", "deleted"),
            ("c", "another", "kept"),
        ):
            connection.execute(
                "INSERT INTO jobs (application, id, conversation, status, ended_at)"
                " VALUES (?, ?, ?, 'completed', 100)",
                (application, job, conversation),
            )

        schema.migrate(connection)

        assert connection.execute("SELECT id FROM conversations").fetchall() == [("kept",)]
        for application in ("app", "another"):
            rows = Rows(connection, application, Path("bodies"))
            assert rows.forget_jobs(later(0)) == (1, [])
        assert connection.execute("SELECT id FROM jobs").fetchall() == [("a",)]
