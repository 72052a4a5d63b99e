"""``make check`` sees the types of every program in every document."""

from tests import check_documents
from tests.check_documents import ROOT, documents, write_programs


def test_every_python_program_of_every_document_is_checked(tmp_path):
    fences = sum(path.read_text("utf-8").count("```python") for path in documents())

    names = write_programs(tmp_path)

    assert len(names) == len(set(names)) == fences
    assert {path.relative_to(ROOT).as_posix() for path in documents()} >= {
        "README.md", "CONTRIBUTING.md", "docs/durable.md", "docs/web.md",
    }  # fmt: skip


def test_the_lines_are_those_of_the_document(tmp_path):
    readme = (ROOT / "README.md").read_text("utf-8").splitlines()

    for name in write_programs(tmp_path):
        if name.startswith("README_"):
            line = int(name.removeprefix("README_").removesuffix(".py"))
            assert (tmp_path / name).read_text("utf-8").splitlines()[line - 1] == readme[line - 1]


def test_a_program_with_a_wrong_type_is_refused(tmp_path, monkeypatch, capfd):
    wrong = tmp_path / "wrong.md"
    wrong.write_text("```python\ncount: int = 'seven'\n```\n")
    monkeypatch.setattr(check_documents, "ROOT", tmp_path)
    monkeypatch.setattr(check_documents, "documents", lambda: [wrong])

    assert check_documents.main() == 1

    out = capfd.readouterr().out
    assert "wrong_2.py:2: error" in out, "mypy"
    assert "wrong_2.py:2:14 - error" in out, "pyright"
