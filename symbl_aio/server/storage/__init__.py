"""The state of the server: in memory, or in a data directory for people who depend on it.

The server changes its state by values of ``changes``, several of them in one atomic commit, and
shows a change only after its commit. ``store`` is the interface, ``memory_store`` keeps
everything as objects, for tests, and ``sqlite_store`` in a database: in memory
(``temporary_database``), or in a data directory:

* ``data_directory`` locks the directory, and removes files that a killed server left behind;
* ``database`` owns the one connection, in a thread, and commits changes in groups;
* ``schema`` has the tables, as a list of migrations, and ``documents`` the JSON in them;
* ``backup`` writes a backup of a data directory, and restores it.

Decisions, and their reasons:

**sqlite3 of the standard library, not an ORM.** The server reads and writes whole documents by
their id. It needs no joins, no other database and no second process. The library costs no
dependency, and its file survives ``kill -9`` and power loss without a service of its own.

**One connection in one thread.** SQLite has one writer at a time anyway. Reads use the same
connection, so a read sees all writes before it, and no second page cache keeps deleted text.

**Group commit.** All changes that wait when the thread is free are one transaction: one flush of
the disk for many submissions. Each has a savepoint, so that one that fails does not fail the rest.

**WAL with synchronous=FULL.** The 201 of a submission waits for a commit that is on the disk.
With NORMAL, SQLite flushes its log at checkpoints only: ``kill -9`` would lose nothing, but a
power failure the last commits, and their callers have a 201.

**Bodies are files**, not rows: they have gigabytes, and the recogniser opens them by their path. A
body and its directory entry are flushed before the row that refers to it is committed. So each
row has its file, and a file without a row is the rest of a crash.

**Copy, commit, replace.** A writer changes a copy of a conversation. Readers see the copy when it
is on the disk, never before: no caller sees a result that a crash takes back.

**Everything belongs to an application.** The first column of each table names it, so several
applications share a directory and see nothing of each other.

**Secrets.** Access tokens are stored as SHA-256: a copy of the file grants no access. Deleted
text is overwritten (``secure_delete``), and the log is truncated after each deletion.
"""
