"""What the documentation site has beyond ``docs``: the API reference and the project's pages.

A hook of MkDocs. It reads the names of the reference from the source, and imports none of it.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # of the extra docs
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final = {
    "project/benchmarks.md": "benchmarks/README.md",
    "project/changelog.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/security.md": "SECURITY.md",
}
"""Pages of the site that stand elsewhere in the checkout."""
HOME: Final = "index.md"
# Titles of the packages whose names are documented beside those of ``symbl_aio`` itself.
PACKAGES: Final = {
    "symbl_aio.models": "Answers of the API",
    "symbl_aio.report": "Reports",
    "symbl_aio.sync": "Without asyncio",
    "symbl_aio.live": "Live audio",
    "symbl_aio.durable": "The outbox",
    "symbl_aio.contrib": "Web services",
    "symbl_aio.testing": "Your own tests",
    "symbl_aio.server": "The local server",
}
FIRST: Final = ("client", "conversations", "job", "media", "options", "config")
"""Pages of the reference that most readers look for."""
_DEFINITIONS: Final = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the API reference into the menu."""
    pages = [{_title(page): f"reference/{page}.md"} for page in _reference()]
    for section in config.nav or []:
        for entry in section.get("Reference", []):
            if "Python API" in entry:
                entry["Python API"] = ["reference/index.md", *pages]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code, and those that stand elsewhere."""
    from mkdocs.structure.files import File

    for name, source in PROJECT.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text("utf-8")))
    for picture in sorted((ROOT / "benchmarks").glob("*.svg")):
        name = f"project/{picture.name}"
        files.append(File.generated(config, name, abs_src_path=str(picture)))
    for name, content in reference_pages().items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links of the checkout at pages of the site; other files of it become plain text."""
    source = PROJECT.get(page.file.src_uri)
    here = (ROOT / (source or f"docs/{page.file.src_uri}")).parent
    pages = {(ROOT / path).resolve(): name for name, path in PROJECT.items()}
    pages[(ROOT / "README.md").resolve()] = HOME

    def moved(found: re.Match[str]) -> str:
        image, text, target, anchor = found.groups()
        if not target or "://" in target or target.startswith("mailto:"):
            return found[0]
        path = Path(os.path.normpath(here / target))
        if path in pages:
            goal = pages[path]
        elif path.is_relative_to(ROOT / "docs"):
            goal = path.relative_to(ROOT / "docs").as_posix()
        elif path.parent == ROOT / "benchmarks" and path.suffix == ".svg":
            goal = f"project/{path.name}"
        else:
            # A file of the checkout, of which the site has no page.
            return text if text.startswith("`") else f"{text} (`{_relative(path)}`)"
        link = os.path.relpath(goal, Path(page.file.src_uri).parent)
        # The anchors of the README are those of another page.
        return f"{image}[{text}]({link}{'' if goal == HOME else anchor or ''})"

    # Not within fenced blocks.
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(moved, part) for part in parts)


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def reference_pages() -> dict[str, str]:
    """Return the pages of the API reference: each public name, by the module that defines it."""
    names = public_names()
    pages = {"reference/index.md": _index(names)}
    for page in _reference():
        own = [f"{home}.{name}" for home, name in names if _page_of(home) == page]
        blocks = "\n\n".join(f"::: {name}" for name in own)
        pages[f"reference/{page}.md"] = f"# {_title(page)}\n\n{blocks}\n"
    return pages


def _reference() -> list[str]:
    pages = dict.fromkeys(_page_of(home) for home, _ in public_names())
    return [*FIRST, *(page for page in pages if page not in FIRST)]


def public_names() -> list[tuple[str, str]]:
    """Return the module and the name of each public object, in the order of the reference."""
    found: list[tuple[str, str]] = []
    for package in ("symbl_aio", *PACKAGES):
        folder = ROOT.joinpath(*package.split("."))
        if folder.with_suffix(".py").exists():
            found += [(package, name) for name in _exported(folder.with_suffix(".py"))]
        elif (folder / "__init__.py").exists():
            table = _homes(folder / "__init__.py")
            for home, names in table.items():
                # ``symbl_aio.models`` lists its own.
                if not (package == "symbl_aio" and home in ("models",)):
                    found += [(f"{package}.{home}", name) for name in names.split()]
            if not table and (listed := _exported(folder / "__init__.py")):
                found += [(package, name) for name in listed]
            elif not table:
                found += [
                    (f"{package}.{module.stem}", name)
                    for module in sorted(folder.glob("[!_]*.py"))
                    for name in _exported(module)
                ]
    return found


def _homes(init: Path) -> Mapping[str, str]:
    for node in ast.parse(init.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES":
            table: Mapping[str, str] = ast.literal_eval(node.value)
            return table
    return {}


def _exported(module: Path) -> list[str]:
    tree = ast.parse(module.read_text("utf-8"))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            names: list[str] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
            return sorted(names)
    defined = (node for node in tree.body if isinstance(node, _DEFINITIONS))
    return [node.name for node in defined if not node.name.startswith("_")]


def _page_of(home: str) -> str:
    for package in PACKAGES:
        if home == package or home.startswith(package + "."):
            return package.removeprefix("symbl_aio.")
    return home.removeprefix("symbl_aio.").lstrip("_").split(".")[0]


def _title(page: str) -> str:
    return PACKAGES.get(f"symbl_aio.{page}") or page.replace("_", " ").capitalize()


def _index(names: list[tuple[str, str]]) -> str:
    lines = [
        "# Python API",
        "",
        "Every public name. Names without a package are imported from `symbl_aio`.",
        "",
        "| Page | Names |",
        "| --- | --- |",
    ]
    for page in _reference():
        own = [name for home, name in names if _page_of(home) == page]
        lines.append(f"| [{_title(page)}]({page}.md) | {', '.join(f'`{n}`' for n in own)} |")
    return "\n".join(lines) + "\n"
