"""The SQL of the store: changes to rows, and rows to values."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from operator import is_
from pathlib import Path
from typing import Any, TypeAlias

from attrs import frozen

from symbl_aio.server.accepted_submission import SubmissionPayload
from symbl_aio.server.conversations.conversation import Conversation
from symbl_aio.server.http_json import JSON
from symbl_aio.server.job import Job, Status
from symbl_aio.server.spooled_body import SpooledBody
from symbl_aio.server.storage import changes
from symbl_aio.server.storage.documents import (
    StoredHead,
    decode_conversation,
    decode_head,
    encode_document,
    encode_head,
    encode_speech,
    encode_submission,
    microseconds,
)
from symbl_aio.server.storage.store import ListQuery, StoredState

# The start and the number of a conversation: its place in a list.
Position: TypeAlias = tuple[int, int]

# Characters of heads that are read at a time: one may have 10,000 members.
_MOST_TEXT = 256 * 1024
# Jobs that are forgotten at a time, so that no commit waits for many.
_MOST_JOBS = 500

_JOB = "id, conversation, status, reason, ended_at, webhook_url, submission, body"


@frozen
class Rows:
    """The rows of one application, inside a transaction.

    ``bodies``: the directory of recordings. ``keep_bodies``: they outlive their jobs.
    """

    connection: sqlite3.Connection
    application: str
    bodies: Path
    keep_bodies: bool = False

    def write(self, change: changes.Change) -> list[str]:
        """Write a change; return the names of the body files that no row refers to now."""
        match change:
            case changes.ConversationSaved(before, after):
                self._save_conversation(before, after)
            case changes.ConversationDeleted(conversation_id):
                return self._delete_conversation(conversation_id)
            case changes.JobAccepted(job):
                self._insert_job(job)
                self._insert_webhook(job, Status.SCHEDULED)
            case changes.JobStarted(job):
                self._insert_webhook(job, Status.IN_PROGRESS)
            case changes.JobEnded(job, status):
                self._end_job(job, status)
                self._insert_webhook(job, status)
            case changes.WebhookCalled(job_id, status):
                self._delete_webhook(job_id, status)
            case changes.RecordSaved(kind, record_id, record):
                self._execute(
                    "INSERT INTO records (application, kind, id, document) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (application, kind, id) DO UPDATE SET document ="
                    " excluded.document",
                    *(self.application, kind, record_id, json.dumps(record)),
                )
            case changes.RecordDeleted(kind, record_id):
                self._execute(
                    "DELETE FROM records WHERE application = ? AND kind = ? AND id = ?",
                    *(self.application, kind, record_id),
                )
            case changes.TokenIssued(kind, digest, expires_at):
                self._insert_token(kind, digest, expires_at)
            case changes.TokensRevoked(digest):
                self._execute(
                    "DELETE FROM tokens WHERE application = ? AND digest = coalesce(?, digest)",
                    *(self.application, digest),
                )
            case changes.PageKeySaved(key):
                self._execute("INSERT INTO page_keys VALUES (?, ?)", self.application, key)
        return []

    # Conversations

    def conversation(self, conversation_id: str) -> Conversation | None:
        """Return a conversation, or None for an unknown one."""
        found = self._execute(
            "SELECT number, head, document FROM conversations WHERE application = ? AND id = ?",
            *(self.application, conversation_id),
        ).fetchone()
        if found is None:
            return None
        number, head, document = found
        speech = self._execute(
            "SELECT utterances FROM speech WHERE conversation = ? ORDER BY position", number
        )
        return decode_conversation(conversation_id, head, document, (row[0] for row in speech))

    def heads(
        self, query: ListQuery, after: Position | None, skip: int, count: int
    ) -> tuple[list[StoredHead], Position | None]:
        """Return ``count`` heads behind a position, without the first ``skip``, or fewer long ones.

        With them, the position of the last one, or None if no more follow.
        """
        order, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
        where = ["application = ?"]
        values: list[object] = [self.application]
        for compare, instant in ((">", query.start), ("<", query.end)):
            if after is not None and compare == beyond:
                # In place of the bound, of which the position is inside: a search uses only one.
                where.append(f"(started_at, number) {beyond} (?, ?)")
                values += after
            elif instant is not None:
                where.append(f"started_at {compare}= ?")
                values.append(microseconds(instant))
        found = self._execute(
            f"SELECT started_at, number, id, head FROM conversations WHERE {' AND '.join(where)}"
            f" ORDER BY started_at {order}, number {order} LIMIT ? OFFSET ?",
            *(*values, count, skip),
        )
        heads: list[StoredHead] = []
        size = 0
        for started_at, number, conversation_id, head in found:
            heads.append(decode_head(conversation_id, head))
            size += len(head)
            if size >= _MOST_TEXT or len(heads) == count:
                return heads, (started_at, number)
        return heads, None

    def _save_conversation(self, before: Conversation | None, after: Conversation) -> None:
        ((number,),) = self._execute(
            "INSERT INTO conversations (application, id, started_at, changed_at, head, document)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (application, id) DO UPDATE SET"
            " started_at = excluded.started_at, changed_at = excluded.changed_at,"
            " head = excluded.head, document = excluded.document RETURNING number",
            *(self.application, after.id, microseconds(after.started_at), int(time.time())),
            *(encode_head(after), encode_document(after)),
        ).fetchall()
        old = [] if before is None else before.utterances
        # An append keeps the earlier utterances, the same objects; any other change makes new ones.
        kept = len(old) if all(map(is_, old, after.utterances)) else 0
        if kept < len(old):
            self._execute("DELETE FROM speech WHERE conversation = ?", number)
        if kept < len(after.utterances):
            self._execute(
                "INSERT INTO speech (conversation, position, utterances) VALUES (?, ?, ?)",
                *(number, kept, encode_speech(after.utterances[kept:])),
            )

    def _delete_conversation(self, conversation_id: str) -> list[str]:
        self._execute(
            "DELETE FROM conversations WHERE application = ? AND id = ?",
            *(self.application, conversation_id),
        )
        # The jobs stay without their texts: a caller may still wait for their end.
        where = "WHERE application = ? AND conversation = ?"
        which = (self.application, conversation_id)
        bodies = self._execute(f"SELECT body FROM jobs {where} AND body IS NOT NULL", *which)
        names = [name for (name,) in bodies]
        self._execute(
            f"UPDATE jobs SET submission = NULL, body = NULL, orphaned = 1 {where}", *which
        )
        return names

    def expired(self, cutoff: float, conversation_id: str | None) -> list[str]:
        """Return the ids of conversations that were not changed since, without unfinished jobs."""
        which: list[object] = [self.application, int(cutoff)]
        only = ""
        if conversation_id is not None:
            only = " AND id = ?"
            which.append(conversation_id)
        found = self._execute(
            f"SELECT id FROM conversations WHERE application = ? AND changed_at < ?{only}"
            " AND NOT EXISTS (SELECT 1 FROM jobs"
            "  WHERE jobs.application = conversations.application"
            "  AND jobs.conversation = conversations.id AND ended_at IS NULL) LIMIT 100",
            *which,
        )
        return [found_id for (found_id,) in found]

    def forget_jobs(self, cutoff: float) -> tuple[int, list[str]]:
        """Drop the recordings of jobs that ended before, and the jobs of deleted conversations.

        Returns how many jobs it found, which are not all if there are many, and the names of the
        recordings.
        """
        which = (self.application, int(cutoff), _MOST_JOBS)
        old = "application = ? AND ended_at < ?"
        recordings = self._execute(
            f"SELECT number, body FROM jobs WHERE {old} AND body IS NOT NULL LIMIT ?", *which
        ).fetchall()
        for number, _ in recordings:
            self._execute("UPDATE jobs SET body = NULL WHERE number = ?", number)
        orphans = self._execute(
            "DELETE FROM jobs WHERE number IN"
            f" (SELECT number FROM jobs WHERE {old} AND orphaned LIMIT ?)",
            *which,
        )
        return len(recordings) + orphans.rowcount, [name for _, name in recordings]

    # Jobs and webhooks

    def finished_job(self, job_id: str) -> Job | None:
        """Return a finished job, or None."""
        found = self._execute(
            f"SELECT {_JOB} FROM jobs WHERE application = ? AND id = ? AND ended_at IS NOT NULL",
            *(self.application, job_id),
        ).fetchone()
        return None if found is None else self._job(found)

    def _job(self, row: Sequence[Any]) -> Job:
        job_id, conversation, status, reason, ended_at, webhook_url, submission, body = row
        at = datetime.fromtimestamp(ended_at or 0, UTC)
        job = Job(conversation, None, webhook_url, id=job_id, history=[(Status(status), at)])
        job.reason = reason
        if ended_at is None and submission is not None:
            job.payload = self._payload(json.loads(submission), body)
        return job

    def _payload(self, fields: dict[str, Any], name: str | None) -> SubmissionPayload:
        body = None
        if name is not None:
            body = SpooledBody.stored(self.bodies / name, **fields["body"])
        return SubmissionPayload(fields["kind"], fields["parameters"], body)

    def _insert_job(self, job: Job) -> None:
        assert job.payload is not None
        body = job.payload.body
        self._execute(
            "INSERT INTO jobs (application, id, conversation, status, webhook_url, submission,"
            " body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(self.application, job.id, job.conversation_id, job.status, job.webhook_url),
            encode_submission(job.payload),
            body.path.name if body is not None and body.path is not None else None,
        )

    def _end_job(self, job: Job, status: Status) -> None:
        body = "body" if self.keep_bodies else "NULL"
        self._execute(
            "UPDATE jobs SET status = ?, reason = ?, ended_at = ?, submission = NULL,"
            f" body = {body} WHERE id = ?",
            *(status, job.reason, int(time.time()), job.id),
        )

    def _insert_webhook(self, job: Job, status: Status) -> None:
        if job.calls_webhook:
            self._execute(
                "INSERT INTO webhooks (application, job, status) VALUES (?, ?, ?)",
                *(self.application, job.id, status),
            )

    def _delete_webhook(self, job_id: str, status: Status) -> None:
        self._execute(
            "DELETE FROM webhooks WHERE number = (SELECT min(number) FROM webhooks"
            " WHERE application = ? AND job = ? AND status = ?)",
            *(self.application, job_id, status),
        )

    def _insert_token(self, kind: str, digest: bytes, expires_at: float | None) -> None:
        # Expired ones go when the next is issued, so the table does not grow.
        self._execute(
            "DELETE FROM tokens WHERE application = ? AND expires_at < ?",
            *(self.application, time.time()),
        )
        self._execute(
            "INSERT OR REPLACE INTO tokens (application, kind, digest, expires_at)"
            " VALUES (?, ?, ?, ?)",
            *(self.application, kind, digest, expires_at),
        )

    # The start

    def state(self) -> StoredState:
        """Return everything that a server keeps in memory from its start."""
        unfinished = self._execute(
            f"SELECT {_JOB} FROM jobs WHERE application = ? AND ended_at IS NULL ORDER BY number",
            self.application,
        )
        records: dict[str, dict[str, dict[str, JSON]]] = {}
        for kind, record_id, document in self._execute(
            "SELECT kind, id, document FROM records WHERE application = ? ORDER BY number",
            self.application,
        ):
            records.setdefault(kind, {})[record_id] = json.loads(document)
        tokens = self._execute(
            "SELECT kind, digest, expires_at FROM tokens WHERE application = ?", self.application
        ).fetchall()
        key = self._execute("SELECT key FROM page_keys WHERE application = ?", self.application)
        found = key.fetchone()
        jobs = [self._job(row) for row in unfinished]
        return StoredState(
            jobs=jobs,
            webhooks=self._webhooks(jobs),
            records=records,
            access_tokens={digest: at for kind, digest, at in tokens if kind == "access"},
            refresh_tokens=frozenset(digest for kind, digest, _ in tokens if kind == "refresh"),
            page_key=None if found is None else found[0],
        )

    def _webhooks(self, unfinished: Iterable[Job]) -> list[tuple[Job, list[Status]]]:
        """Return the jobs with calls that were not made; unfinished ones as the same objects."""
        jobs = {job.id: job for job in unfinished}
        calls: dict[str, list[Status]] = {}
        for job_id, status in self._execute(
            "SELECT job, status FROM webhooks WHERE application = ? ORDER BY number",
            self.application,
        ):
            calls.setdefault(job_id, []).append(Status(status))
            job = jobs.get(job_id) or self.finished_job(job_id)
            if job is not None:
                jobs[job_id] = job
        return [(jobs[job_id], statuses) for job_id, statuses in calls.items() if job_id in jobs]

    def _execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        return self.connection.execute(sql, values)
