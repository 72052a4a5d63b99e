"""Every setting has its environment variable, and the table of the docs lists them all."""

import re
from pathlib import Path
from typing import get_type_hints

import pytest
from attrs import fields, has

from symbl_aio import Lanes, Limits, Polls, Retries, Timeouts, _environment
from symbl_aio.config import Config
from symbl_aio.errors import ConfigurationError
from tests.tables import table

TABLE = Path(__file__).parents[1] / "docs" / "configuration.md"


def settings() -> set[str]:
    config, found = Config(base_url="http://127.0.0.1"), set()
    for field in fields(Config):
        value = getattr(config, field.name)
        inner = fields(type(value)) if has(type(value)) else ()
        found |= {f"{field.name}.{f.name}" for f in inner} or {field.name}
    return found


def test_the_table_lists_the_variable_of_every_setting():
    rows = re.findall(r"^\| `(SYMBL_\w+)` \| `Config\.([\w.]+)` \|", TABLE.read_text(), re.M)
    assert {setting for _, setting in rows} == settings()
    assert all(name == "SYMBL_" + s.replace(".", "_").upper() for name, s in rows)


def test_a_deployment_allows_http_and_an_argument_wins(monkeypatch):
    monkeypatch.setenv("SYMBL_BASE_URL", "http://symbl:8080")
    with pytest.raises(ConfigurationError, match=r"SYMBL_BASE_URL .*set SYMBL_ALLOW_HTTP=1"):
        Config()
    monkeypatch.setenv("SYMBL_ALLOW_HTTP", "1")
    monkeypatch.setenv("SYMBL_LIMITS_JOBS", "14")
    assert (Config().base_url, Config().limits.jobs) == ("http://symbl:8080", 14)
    with pytest.raises(ConfigurationError, match="plain http"):
        Config(allow_http=False)


@pytest.mark.parametrize("name", ["LIMITS_JOBS", "TIMEOUTS_READ", "ALLOW_HTTP", "CHUNK_SIZE"])
@pytest.mark.parametrize("bad", ["many", "-1"])
def test_a_bad_value_is_refused_by_its_variable(monkeypatch, name, bad):
    monkeypatch.setenv(f"SYMBL_{name}", bad)
    with pytest.raises(ConfigurationError, match=f"SYMBL_{name} is "):
        Config()


@table("cls", [Config, Timeouts, Polls, Retries, Limits, Lanes])
def test_a_class_whose_types_were_resolved_reads_its_variables_the_same(cls):
    types = get_type_hints(cls)
    for field in fields(cls):
        resolved = field.evolve(type=types[field.name])
        read, spelt = (_environment._parser(_environment._kind(f)) for f in (resolved, field))
        assert read == spelt, field.name


def test_a_labs_host_of_the_environment_is_not_used_beside_another_host(monkeypatch):
    monkeypatch.setenv("SYMBL_LABS_URL", "https://labs.example.com")
    assert Config().labs_origin == "https://labs.example.com"
    assert Config(base_url="https://h").labs_origin == "https://h"
    assert Config().evolve(base_url="https://h").labs_origin == "https://h"
