"""The tables of the database, as migrations in order. ``user_version`` counts those applied."""

from __future__ import annotations

import sqlite3
from typing import Final

APPLICATION_ID: Final = 0x53594D42  # "SYMB": marks the file as a database of this server

# A migration is never changed after a release: a new one is added at the end.
MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE conversations (
        number INTEGER PRIMARY KEY,
        application TEXT NOT NULL,
        id TEXT NOT NULL,
        started_at INTEGER NOT NULL, -- microseconds since 1970
        changed_at INTEGER NOT NULL, -- seconds since 1970
        head TEXT NOT NULL,          -- JSON: the fields that a list shows
        document TEXT NOT NULL,      -- JSON: the others, without the speech
        UNIQUE (application, id)
    );
    CREATE INDEX conversations_by_start ON conversations (application, started_at, number);
    CREATE INDEX conversations_by_change ON conversations (changed_at);

    -- Utterances from a position on, as one job added them: an append rewrites no other.
    CREATE TABLE speech (
        conversation INTEGER NOT NULL REFERENCES conversations (number) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        utterances TEXT NOT NULL,    -- JSON
        PRIMARY KEY (conversation, position)
    ) WITHOUT ROWID;

    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,  -- order of acceptance
        application TEXT NOT NULL,
        id TEXT NOT NULL UNIQUE,
        conversation TEXT NOT NULL,
        status TEXT NOT NULL,
        reason TEXT,
        ended_at INTEGER,            -- seconds since 1970
        webhook_url TEXT,
        submission TEXT,             -- JSON: kind and parameters, until the job has ended
        body TEXT                    -- name of the file in bodies/
    );
    CREATE INDEX jobs_unfinished ON jobs (application, number) WHERE ended_at IS NULL;
    CREATE INDEX jobs_of_conversation ON jobs (application, conversation);
    CREATE INDEX jobs_by_end ON jobs (ended_at);
    CREATE INDEX jobs_with_body ON jobs (body) WHERE body IS NOT NULL;

    -- Calls that were not made yet.
    CREATE TABLE webhooks (
        number INTEGER PRIMARY KEY,
        application TEXT NOT NULL,
        job TEXT NOT NULL,
        status TEXT NOT NULL
    );
    CREATE INDEX webhooks_of_job ON webhooks (application, job);

    -- Trackers, groups, entities and settings of an account.
    CREATE TABLE records (
        number INTEGER PRIMARY KEY,
        application TEXT NOT NULL,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        document TEXT NOT NULL,      -- JSON
        UNIQUE (application, kind, id)
    );

    CREATE TABLE tokens (
        application TEXT NOT NULL,
        kind TEXT NOT NULL,          -- access or refresh
        digest BLOB NOT NULL,        -- SHA-256
        expires_at REAL,             -- seconds since 1970
        PRIMARY KEY (application, digest)
    ) WITHOUT ROWID;

    CREATE TABLE page_keys (
        application TEXT PRIMARY KEY,
        key BLOB NOT NULL
    ) WITHOUT ROWID;
    """,
    # Old ones are looked for each hour, which must not read all that is kept.
    """
    DROP INDEX conversations_by_change;
    CREATE INDEX conversations_by_change ON conversations (application, changed_at);

    ALTER TABLE jobs ADD COLUMN orphaned INTEGER NOT NULL DEFAULT 0; -- 1: no conversation any more
    UPDATE jobs SET orphaned = 1 WHERE NOT EXISTS (SELECT 1 FROM conversations
        WHERE conversations.application = jobs.application
        AND conversations.id = jobs.conversation);
    DROP INDEX jobs_by_end;
    CREATE INDEX orphans_by_end ON jobs (application, ended_at) WHERE orphaned;
    CREATE INDEX recordings_by_end ON jobs (application, ended_at) WHERE body IS NOT NULL;
    """,
)


class SchemaError(Exception):
    """The file is not a database of this server, or one of a newer version."""


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that the database does not have yet. Raises SchemaError.

    Each is one transaction together with its number: a crash in between repeats none.
    """
    version = schema_version(connection)
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        connection.executescript(
            f"BEGIN; {script}; PRAGMA application_id = {APPLICATION_ID}; "
            f"PRAGMA user_version = {number}; COMMIT;"
        )


def schema_version(connection: sqlite3.Connection) -> int:
    """Return the number of applied migrations, 0 for a new file. Raises SchemaError."""
    try:
        (marked,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise SchemaError(f"the file is not a database ({error})") from error
    if marked != APPLICATION_ID and tables:
        raise SchemaError("the file is a database of another program")
    if version > len(MIGRATIONS):
        raise SchemaError(
            f"its schema has version {version}, and this version of symbl-aio knows "
            f"{len(MIGRATIONS)}: install the newer version again"
        )
    return int(version)
