"""The commands of the outbox as their users meet them: processes, signals, exit codes."""

import asyncio
import inspect
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from symbl_aio import Config, Credentials, Text, TextOptions
from symbl_aio.cli import outbox_actions
from symbl_aio.cli import outbox_commands as words
from symbl_aio.durable import ItemState, Outbox, Worker
from symbl_aio.testing import LocalSymbl
from tests.forks import Program
from tests.shell import CREDENTIALS, ROOT, Shell
from tests.support import QUICK

INAUGURAL = ROOT / "examples" / "media" / "inaugural.mp4"
PATIENT = 20.0
SECRET = "shared-4711"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/outbox.db"


@pytest.fixture
def shell(server: LocalSymbl, url: str) -> Shell:
    return Shell(
        SYMBL_BASE_URL=server.base_url,
        SYMBL_AIO_DATABASE=url,
        SYMBL_WEBHOOK_SECRET=SECRET,
        **CREDENTIALS,
    )


@pytest.fixture
async def outbox(url: str) -> AsyncIterator[Outbox]:
    async with Outbox(url) as opened:
        yield opened


@asynccontextmanager
async def working(server: LocalSymbl, url: str, **settings: Any) -> AsyncIterator[Worker]:
    """Run a worker in this process, where it starts sooner."""
    config = Config(base_url=server.base_url, **QUICK)
    given = {"poll_interval": 0.02, **settings}
    async with Worker(url, Credentials("app", "secret"), config=config, **given) as worker:
        yield worker


@asynccontextmanager
async def running(shell: Shell, *options: str) -> AsyncIterator[Program]:
    """Run the command until it is ready, and kill it in the end if it still runs."""
    process = await shell.start("worker", "--json", *options)
    try:
        assert process.stdout is not None
        told = await process.stdout.readline()
        if not told:
            pytest.fail((await shell.end(process)).err)
        assert json.loads(told)["event"] == "working", told
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


# worker


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.durable)]
)
async def test_a_worker_sends_what_is_there_and_stops_when_it_is_asked_to(
    number, shell, server, outbox
):
    server.inject("no_webhook")
    server.hold_jobs()
    await outbox.submit(Text("Hello."), key="monday")
    hooks = ("--webhook-base-url", "http://127.0.0.1:1/hooks")
    async with running(shell, *hooks) as process:
        await server.until(lambda: server.unfinished == 1)
        process.send_signal(number)
        ended = await shell.end(process)

    (received,) = server.submissions
    assert (ended.code, ended.err) == (0, "")
    assert received.parameters["webhookUrl"].startswith("http://127.0.0.1:1/hooks/")
    assert SECRET not in ended.out


@pytest.mark.durable
async def test_a_worker_that_was_taken_for_dead_says_so_with_a_code_of_its_own(
    shell, outbox, tmp_path
):
    async with running(shell, "--worker-timeout", "0.6") as process:
        with closing(sqlite3.connect(tmp_path / "outbox.db", timeout=PATIENT)) as database:
            database.execute("delete from symbl_worker")
            database.commit()
        ended = await shell.end(process)

    assert ended.code == 6
    assert "took it for dead" in ended.out
    assert "start it again" in ended.out
    assert "Traceback" not in ended.err


async def test_a_second_worker_of_a_file_is_wrong_usage(shell, server, url):
    async with working(server, url):
        ended = await shell.end(await shell.start("worker"))

    assert (ended.code, ended.out) == (2, "")
    assert "PostgreSQL" in ended.err
    assert "Traceback" not in ended.err


async def test_webhooks_need_a_secret_which_only_the_environment_may_hold(server, url):
    shell = Shell(SYMBL_BASE_URL=server.base_url, SYMBL_AIO_DATABASE=url, **CREDENTIALS)

    ended = await shell.run("worker", "--webhook-base-url", "https://example.com/hooks")

    assert (ended.code, ended.out) == (2, "")
    assert "SYMBL_WEBHOOK_SECRET" in ended.err


# passwords

WITH_PASSWORD = [
    "postgresql://me:p4ssw0rd@127.0.0.1:1/name",
    "postgresql://127.0.0.1:1/name?user=me&password=p4ssw0rd",
    "postgresql://me:p4ss@w0rd@127.0.0.1:1/name",  # wrong: it is to be escaped
]
WITHOUT = ["postgresql://me@127.0.0.1:1/name", "postgresql://127.0.0.1:1/name?user=me:you"]


@pytest.mark.parametrize("command", [["jobs"], ["submit", str(INAUGURAL)]], ids=" ".join)
@pytest.mark.parametrize("address", WITH_PASSWORD)
async def test_a_password_among_the_arguments_is_warned_of_and_not_repeated(
    shell, command, address
):
    ended = await shell.run(*command, "--database", address)

    warning, *others = ended.err.splitlines()
    assert warning.startswith("Warning: --database has a password, and ps shows it")
    assert "SYMBL_AIO_DATABASE" in warning
    assert ended.code == (2 if "@w0rd" in address else 3)
    assert others
    assert "w0rd" not in ended.err + ended.out


@pytest.mark.parametrize("address", WITHOUT)
async def test_an_address_without_a_password_is_not_warned_of(shell, address):
    ended = await shell.run("jobs", "--database", address)

    assert ended.code == 3
    assert "Warning" not in ended.err


async def test_nor_is_one_of_the_environment(server):
    shell = Shell(SYMBL_AIO_DATABASE=WITH_PASSWORD[0])

    ended = await shell.run("jobs")

    assert ended.code == 3
    assert "Warning" not in ended.err


# jobs


async def test_jobs_are_listed_in_their_order_and_counted(shell, outbox):
    await outbox.submit(Text("Hello."), key="monday")
    await outbox.append("monday", Text("Goodbye."), key="monday-2")
    await outbox.submit(Text("Hello."), key="tuesday")

    everything = await shell.run("jobs", "--json")
    one = await shell.run("jobs", "--json", "--conversation", "monday", "--state", "queued")
    none = await shell.run("jobs", "--json", "--state", "ambiguous")

    *items, stock = everything.lines
    assert [item["key"] for item in items] == ["monday", "monday-2", "tuesday"]
    assert [(item["number"], item["state"]) for item in items] == [
        (1, "queued"),
        (2, "queued"),
        (1, "queued"),
    ]
    assert stock["counts"] == {"queued": 3}
    assert stock["oldest"] >= 0
    assert stock["workers"] == 0
    assert [item["key"] for item in one.lines[:-1]] == ["monday", "monday-2"]
    assert none.lines[:-1] == []
    assert everything.code == one.code == none.code == 0


async def test_a_person_gets_a_line_an_item_and_a_summary_without_any_content(shell, outbox):
    await outbox.submit(Text("We do not talk about this."), key="monday")

    ended = await shell.run("jobs")

    first, last = ended.out.splitlines()
    assert first.split() == ["monday", "queued", "1", "of", "monday"]
    assert last.startswith("1 queued; the oldest has waited ")
    assert last.endswith(" s; 0 workers")
    assert "talk" not in ended.out


async def test_an_item_names_its_recording(shell, outbox):
    await outbox.submit(INAUGURAL, key="monday")
    await outbox.submit(Text("Hello."), key="tuesday")

    lines = await shell.run("jobs", "--json")
    told = await shell.run("jobs")

    assert [item["source"] for item in lines.lines[:-1]] == ["inaugural.mp4", None]
    assert "inaugural.mp4" in told.out


async def test_a_mistyped_file_is_told_and_not_made(tmp_path):
    ended = await Shell().run("jobs", "--database", f"sqlite:///{tmp_path}/outbux.db")

    assert ended.code == 2
    assert "outbux.db" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["jobs"], ["retry", "monday"], ["db", "migrate"]])
async def test_a_database_that_is_away_is_exit_code_3_and_no_password_is_shown(
    command, unused_tcp_port
):
    away = f"postgresql://me:pass-4711@127.0.0.1:{unused_tcp_port}/name"

    ended = await Shell(SYMBL_AIO_DATABASE=away).run(*command)

    assert (ended.code, ended.out) == (3, "")
    assert f"127.0.0.1:{unused_tcp_port}/name" in ended.err
    assert "pass-4711" not in ended.err


@pytest.mark.parametrize(
    "url", ["mysql://me:pass-4711@host/name", "postgresql://me:pass-4711@host:port/name", "x"]
)
async def test_what_is_no_database_is_wrong_usage_and_not_repeated(url):
    ended = await Shell().run("jobs", "--database", url)

    assert (ended.code, ended.out) == (2, "")
    assert "sqlite:///outbox.db" in ended.err
    assert "pass-4711" not in ended.err


def test_a_database_is_named_without_who_uses_it():
    named = outbox_actions.redacted("postgresql://me:pass@db.example.com:5433/app?password=too")

    assert named == "postgresql://db.example.com:5433/app"
    assert outbox_actions.redacted("sqlite:////var/lib/outbox.db") == "/var/lib/outbox.db"


# retry and resolve


@pytest.mark.durable
async def test_an_item_that_a_killed_worker_left_in_doubt_is_resolved_by_a_person(
    shell, server, outbox, url
):
    server.inject("slow:60", on="POST")
    await outbox.submit(Text("Hello."), TextOptions(name="one of many"), key="monday")
    await outbox.append("monday", Text("Goodbye."), key="monday-2")
    async with running(shell) as process:
        await server.until(lambda: server.submissions and server.submissions[0].accepted)
        process.kill()
    opened = str(server.submissions[0].conversation_id)

    async with working(server, url, heartbeat=0.1, worker_timeout=0.4, ambiguity_timeout=0.1):
        item = await outbox.result("monday", timeout=PATIENT)
        blocked = await outbox.result("monday-2", timeout=PATIENT)
        unsaid = await shell.run("resolve", "monday")
        incomplete = await shell.run("resolve", "--accepted", "monday")
        resolved = await shell.run(
            *("resolve", "monday", "--accepted", "--conversation-id", opened, "--json")
        )
        behind = await outbox.result("monday-2", timeout=PATIENT)

    assert (item.state, blocked.state) == (ItemState.AMBIGUOUS, ItemState.BLOCKED)
    assert (unsaid.code, incomplete.code) == (2, 2)
    assert "--not-accepted" in unsaid.err
    assert "conversation_id" in incomplete.err
    assert (resolved.code, resolved.lines[0]["state"]) == (0, "completed")
    assert behind.state is ItemState.COMPLETED
    assert [received.method for received in server.arrivals(opened)] == ["POST", "PUT"]


async def test_an_item_of_which_a_person_says_that_it_is_not_there_is_sent_again(
    shell, server, outbox, url
):
    async with server.client() as somebody:
        conversation = await somebody.process(Text("Hello."))
    server.inject("accept_then_drop", on="PUT")
    await outbox.append(conversation.id, INAUGURAL, key="late")

    async with working(server, url, ambiguity_timeout=0.1):
        item = await outbox.result("late", timeout=PATIENT)
        resolved = await shell.run("resolve", "late", "--not-accepted")
        again = await outbox.result("late", timeout=PATIENT)

    assert (item.state, again.state) == (ItemState.AMBIGUOUS, ItemState.COMPLETED)
    assert resolved.out.split()[:2] == ["late", "queued"]
    assert len(server.appended(conversation.id)) == 2


async def test_an_item_that_was_refused_is_sent_again_on_demand(
    shell, server, outbox, url, tmp_path
):
    recording = tmp_path / "talk.mp4"
    recording.write_bytes(INAUGURAL.read_bytes())
    kept = recording.read_bytes()
    await outbox.submit(recording, key="monday")
    recording.unlink()
    async with working(server, url):
        refused = await outbox.result("monday", timeout=PATIENT)
        recording.write_bytes(kept)
        retried = await shell.run("retry", "no-such-key", "monday", "--json")
        item = await outbox.result("monday", timeout=PATIENT)

    assert refused.state is ItemState.REFUSED
    assert [line["event"] for line in retried.lines] == ["error", "item"]
    assert "no-such-key" in retried.lines[0]["message"]
    assert retried.code == 2
    assert item.state is ItemState.COMPLETED


async def test_items_are_taken_back(shell, server, outbox, url):
    await outbox.submit(Text("Hello."), key="monday")
    await outbox.append("monday", Text("Not this."), key="note")

    discarded = await shell.run("discard", "no-such-key", "note", "--json")
    async with working(server, url):
        assert (await outbox.result("monday", timeout=PATIENT)).ok
        late = await shell.run("discard", "monday")

    assert [line["event"] for line in discarded.lines] == ["error", "item"]
    assert "no-such-key" in discarded.lines[0]["message"]
    assert discarded.lines[1]["state"] == "discarded"
    assert (discarded.code, late.code) == (2, 2)
    assert "'monday' is completed" in late.err
    assert len(server.submissions) == 1


async def test_what_needs_no_second_try_is_told(shell, outbox):
    await outbox.submit(Text("Hello."), key="monday")

    retried = await shell.run("retry", "monday")
    resolved = await shell.run("resolve", "monday", "--not-accepted")

    assert (retried.code, resolved.code) == (2, 2)
    assert "'monday' is queued" in retried.err
    assert "'monday' is queued" in resolved.err


async def test_many_are_decided_about_by_what_they_share(shell, outbox):
    for key in ("monday", "tuesday"):
        await outbox.submit(Text("Hello."), key=key)
        await outbox.append(key, Text("More."), key=f"{key}-2")

    nothing = await shell.run("discard")
    both = await shell.run("discard", "monday", "--all")
    would = await shell.run("discard", "--conversation", "monday", "--dry-run", "--json")
    assert (await outbox.stats()).counts == {ItemState.QUEUED: 4}
    did = await shell.run("discard", "--conversation", "monday", "--json")
    again = await shell.run("retry", "--state", "discarded", "--newer-than", "3600")
    unusual = await shell.run("retry", "--all")
    impossible = await shell.run("discard", "--state", "completed")

    assert (nothing.code, both.code) == (2, 2)
    assert "or --all" in nothing.err
    assert would.lines[-1] == {
        "event": "decided", "items": 2, "resumed": 0, "refused": 0, "dry_run": True
    }  # fmt: skip
    assert [line["key"] for line in did.lines[:-1]] == ["monday", "monday-2"]
    assert {line["state"] for line in (*would.lines[:-1], *did.lines[:-1])} == {"discarded"}
    assert (again.code, again.out.splitlines()[-1]) == (0, "2 changed")
    assert (unusual.code, unusual.out) == (0, "0 changed\n")
    assert (impossible.code, "state has completed" in impossible.err) == (2, True)
    assert (await outbox.stats()).counts == {ItemState.QUEUED: 4}


async def test_doubts_are_resolved_all_at_once_but_never_by_default(shell, outbox, url):
    ended = await shell.run("resolve", "--not-accepted")
    ids = await shell.run("resolve", "--all", "--accepted", "--job-id", "j")
    empty = await shell.run("resolve", "--all", "--accepted", "--conversation-id", "")
    every = await shell.run("resolve", "--all", "--not-accepted", "--json")

    assert (ended.code, ids.code) == (2, 2)
    assert "give its KEY" in ids.err
    assert (empty.code, empty.err) == (ids.code, ids.err)
    assert (every.code, every.lines[-1]["items"]) == (0, 0)


# submit and append, to an outbox


async def test_recordings_are_handed_in_with_a_priority_and_once(shell, outbox, url):
    into = ("--database", url, "--json")
    first = await shell.run("submit", str(INAUGURAL), *into, "--priority", "-5")
    again = await shell.run("submit", str(INAUGURAL), *into)
    behind = await shell.run("append", str(INAUGURAL), str(INAUGURAL), *into, "--key", "part 2")

    (item,) = first.lines
    assert (item["event"], item["key"], item["state"]) == ("item", str(INAUGURAL), "queued")
    assert again.lines == first.lines
    assert [(line["key"], line["number"]) for line in behind.lines] == [("part 2", 2)]
    table = outbox._database.items
    with outbox._database.read() as connection:
        rows = connection.execute(table.select().order_by(table.c.id)).all()
    assert [row.priority for row in rows] == [-5, 0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--priority", "1001"], "--priority"),
        (["--key", "x", str(INAUGURAL)], "give one FILE"),
        (["-"], "give a file"),
    ],
)
async def test_what_cannot_be_handed_in_is_wrong_usage(shell, outbox, url, given, told):
    ended = await shell.run("submit", str(INAUGURAL), "--database", url, *given)

    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert (await outbox.stats()).counts == {}


async def test_what_is_of_an_outbox_needs_one(shell, tmp_path):
    alone = await shell.run("submit", str(INAUGURAL), "--priority", "1")
    mistyped = await shell.run(
        "submit", str(INAUGURAL), "--database", f"sqlite:///{tmp_path}/no.db"
    )

    assert (alone.code, mistyped.code) == (2, 2)
    assert "--database" in alone.err
    assert f"db migrate --database sqlite:///{tmp_path}/no.db makes one" in mistyped.err


# db


async def test_the_tables_are_made_on_demand(shell, url, tmp_path):
    ended = await shell.run("db", "migrate")
    again = await shell.run("db", "migrate", "--json")

    assert (ended.code, ended.out) == (0, f"The tables in {tmp_path}/outbox.db are up to date.\n")
    assert again.lines == [{"event": "migrated", "database": f"{tmp_path}/outbox.db"}]


async def test_a_file_has_no_roles(shell):
    ended = await shell.run("db", "migrate", "--role", "app")

    assert ended.code == 2
    assert "role" in ended.err


# The extra


async def _python(program: str, *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", program),
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


@pytest.mark.parametrize("missing", ["dbos", "sqlalchemy"])
async def test_without_the_extra_the_commands_say_what_to_install(missing):
    blocker = f"import sys; sys.modules[{missing!r}] = None; from symbl_aio.cli import main; main()"

    code, said = await _python(blocker, "jobs", "--database", "sqlite:///outbox.db")

    assert code == 2
    assert "pip install '.[cli,durable]' in a checkout of symbl-aio" in said
    assert "Traceback" not in said


async def test_other_commands_do_not_import_the_engine():
    code, said = await _python(
        "import sys, symbl_aio.cli.commands\n"
        "print([m for m in ('dbos', 'sqlalchemy', 'symbl_aio.durable') if m in sys.modules])"
    )

    assert (code, said.strip()) == (0, "[]")


def test_what_the_help_says_is_what_the_worker_does():
    defaults = {name: given.default for name, given in inspect.signature(Worker).parameters.items()}
    told = {option.name: option.default for option in words.worker.params}
    for name in ("schema", "concurrency", "on_ambiguous", "ambiguity_timeout", "worker_timeout"):
        assert told[name] == defaults[name], name
    assert list(words.STATES) == [state.value for state in ItemState]


@pytest.mark.parametrize(
    ("arguments", "said"), [([], "FILE"), (["--from", "left.json"], "--database")]
)
async def test_nothing_is_handed_in_without_a_file(shell, url, arguments, said):
    ended = await shell.run("submit", "--database", url, *arguments)

    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
