"""The page for operators is true: its programs run, its flags, metrics, states and codes exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from symbl_aio.cli import exit_codes
from symbl_aio.cli import outbox_commands as words
from symbl_aio.cli.commands import cli
from symbl_aio.durable import ItemState, OutboxStats, openmetrics
from tests.durable.openmetrics import parse
from tests.programs import ROOT, programs, run, shell_lines

GUIDE = (ROOT / "docs" / "operating.md").read_text("utf-8")
LINES = [line for line in shell_lines(GUIDE) if line.startswith("symbl-aio ")]


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table below a heading, without the names of its columns."""
    below = GUIDE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in below.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def in_code(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


async def test_its_program_runs_as_it_stands(tmp_path) -> None:
    (program,) = programs(GUIDE)
    assert "# EOF" in await run(program, tmp_path)


def test_every_flag_of_a_worker_stands_in_the_table() -> None:
    told = {}
    for row in table("Flags and variables"):
        told[in_code(row[0])[0]] = (in_code(row[1]), in_code(row[2]))
    flags = {option.opts[0]: option for option in words.worker.params}
    assert told.keys() == flags.keys()
    for name, (variable, default) in told.items():
        option = flags[name]
        given = [option.envvar] if option.envvar else []
        assert variable == (given or (["SYMBL_BASE_URL"] if name == "--base-url" else [])), name
        if name not in ("--json", "--allow-http"):
            known = isinstance(option.default, str | int | float)
            assert default == ([str(option.default)] if known else []), name


def test_every_metric_stands_in_the_table_and_no_other() -> None:
    told = {
        metric.partition("{")[0]
        for row in table("Probes, metrics, statistics")
        for metric in in_code(row[0])
    }
    text = openmetrics(OutboxStats(counts={}, cap=1), ready=True)
    assert told == parse(text).keys()
    named = set(re.findall(r"symbl_(?:outbox|worker)_\w+", GUIDE))
    assert named <= told


def logged() -> Iterator[str]:
    """Return the lines that the outbox logs, as patterns for their form in the guide."""
    sources = [*(ROOT / "symbl_aio/durable").rglob("*.py")]
    sources += [
        ROOT / "symbl_aio/contrib/service_outbox.py",
        ROOT / "symbl_aio/cli/worker_probes.py",
    ]
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_LOG."):
                yield re.sub("%[sd]", ".+", re.escape(ast.literal_eval(node.args[0])))


def test_every_line_of_the_log_is_explained() -> None:
    """Every line is explained, and no line that is not logged any more."""
    told = [line for row in table("Log lines") for line in in_code(row[0])]
    explained = {line: {one for one in told if re.fullmatch(line, one)} for line in logged()}
    assert len(explained) >= 25
    assert [line for line, found in explained.items() if not found] == []
    assert set(told) == set().union(*explained.values())


def test_every_state_has_something_to_do() -> None:
    told = [state for row in table("What to do, by state") for state in in_code(row[0])]
    assert sorted(told) == sorted(state.value for state in ItemState)


def test_the_exit_codes_are_those_of_the_command() -> None:
    codes = {int(row[0]) for row in table("Exit codes of a worker")}
    assert codes <= exit_codes.MEANINGS.keys()
    assert {exit_codes.OK, exit_codes.EVICTED, exit_codes.USAGE} <= codes


@pytest.mark.parametrize("line", LINES)
def test_every_command_exists_with_its_options(line: str) -> None:
    typed = [word for word in line.split()[1:] if word.isalpha()]
    command = typed[:2] if typed[0] == "db" else typed[:1]
    done = CliRunner().invoke(cli, [*command, "--help"])
    assert done.exit_code == 0
    for option in re.findall(r"--[a-z-]+", line):
        assert option in done.output


def test_every_page_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
