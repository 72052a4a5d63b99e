import ast
import inspect
from itertools import pairwise

import pytest
from attrs import fields

from symbl_aio.config import (
    DEFAULT_BASE_URL,
    DEFAULT_LABS_URL,
    AccessToken,
    Config,
    Credentials,
    Lanes,
    Limits,
    Polls,
    Retries,
    Timeouts,
    credentials_from_env,
)
from symbl_aio.errors import ConfigurationError
from tests.tables import table

LOCAL = "http://127.0.0.1:8080"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in ("BASE_URL", "ACCESS_TOKEN", "APP_ID", "APP_SECRET"):
        monkeypatch.delenv(f"SYMBL_{name}", raising=False)


# Numbers

NUMBERS = [
    pytest.param(cls, field.name, id=f"{cls.__name__}.{field.name}")
    for cls in (Timeouts, Polls, Retries, Limits)
    for field in fields(cls)
    if field.name != "jitter"
]


@table("bad", [0, -1, -0.5, float("nan"), True, False])
@table("cls, name", NUMBERS)
def test_a_number_that_is_not_above_zero_is_refused_by_name(cls, name, bad):
    with pytest.raises(ConfigurationError, match=rf"{cls.__name__}\.{name} is .*above 0"):
        cls(**{name: bad})


@table("cls, name", NUMBERS)
def test_a_number_above_zero_is_taken(cls, name):
    value = 14 if name != "floor" else 0.25

    assert getattr(cls(**{name: value}), name) == value


def test_limits_that_are_not_known_are_none():
    assert Limits() == Limits(jobs=None, wait_for_slot=None)


@table("jitter", [0, 0.5, 0.999])
def test_a_jitter_is_a_share(jitter):
    assert Polls(jitter=jitter).jitter == jitter


@table("jitter", [-0.1, 1, 1.5, float("nan")])
def test_a_jitter_that_is_no_share_is_refused(jitter):
    with pytest.raises(ConfigurationError, match=r"Polls\.jitter"):
        Polls(jitter=jitter)


def test_a_floor_above_the_ceiling_is_refused():
    assert Polls(floor=5, ceiling=5).floor == 5
    with pytest.raises(ConfigurationError, match=r"Polls\.floor is above Polls\.ceiling"):
        Polls(floor=5.1, ceiling=5)


def test_chunks_are_not_tiny():
    assert Config(base_url=LOCAL, chunk_size=65_536).chunk_size == 65_536
    for size in (65_535, 1, 0, -1):
        with pytest.raises(ConfigurationError, match=r"Config\.chunk_size"):
            Config(base_url=LOCAL, chunk_size=size)


# Choices


@table(
    "cls, name, choices",
    [
        (Lanes, "advance_on", ["completed", "accepted"]),
        (Lanes, "on_failure", ["continue", "halt"]),
        (Config, "auth_header", ["Authorization", "x-api-key"]),
    ],
)
def test_a_choice_is_one_of_those_that_are_told(cls, name, choices):
    for choice in choices:
        assert getattr(cls(**{name: choice}), name) == choice
    with pytest.raises(ConfigurationError) as refused:
        cls(**{name: "other"})
    for words in (f"{cls.__name__}.{name}", "other", *choices):
        assert words in str(refused.value)


# Hosts


@table(
    "url",
    [
        "https://api.example.com",
        "https://api.example.com:8443",
        "http://127.0.0.1:8080",
        "http://127.8.9.10",
        "http://[::1]:8080",
        "http://localhost:8080",
        "https://localhost:80",
        "http://symbl.localhost",
    ],
)
def test_an_origin_is_taken_as_it_is(url):
    assert Config(base_url=url).base_url == url


@table(
    "url, origin",
    [
        ("https://api.example.com/", "https://api.example.com"),
        ("https://api.example.com//", "https://api.example.com"),
        ("HTTPS://API.example.com", "https://api.example.com"),
        ("https://api.example.com:443", "https://api.example.com"),
        ("https://api.example.com:443/", "https://api.example.com"),
        ("http://LOCALHOST:80", "http://localhost"),
        ("http://[::1]:80", "http://[::1]"),
    ],
)
def test_an_origin_has_one_form_so_that_the_tokens_of_jobs_outlive_another_spelling(url, origin):
    assert Config(base_url=url).base_url == origin
    assert Config(labs_url=url).labs_origin == origin


def test_an_origin_of_the_environment_is_named_so_however_it_is_spelt(monkeypatch):
    monkeypatch.setenv("SYMBL_BASE_URL", "HTTP://API.example.com/")
    with pytest.raises(ConfigurationError, match=r"SYMBL_BASE_URL is plain http.*ALLOW_HTTP=1"):
        Config()


def test_the_vendors_host_has_its_labs_however_it_is_spelt():
    assert Config(base_url="https://API.symbl.ai:443").labs_origin == Config().labs_origin


@table(
    "url",
    ["", "api.example.com", "ftp://example.com", "https://", "https://:80", "/v1", "file:///x"],
)
def test_what_is_no_http_url_is_refused(url):
    with pytest.raises(ConfigurationError, match=r"Config\.base_url is not an http\(s\) URL"):
        Config(base_url=url)


@table("url", ["https://h:99999", "https://h:port", "https://[::1", 5, None])
def test_what_is_no_url_at_all_is_refused(url):
    with pytest.raises(ConfigurationError, match=r"Config\.base_url is not a"):
        Config(base_url=url)


@table("rest", ["/v1", "/v1/", "?a=b", "#part"], ids=["path", "path/", "query", "fragment"])
def test_more_than_an_origin_is_refused(rest):
    with pytest.raises(ConfigurationError, match="more than an origin"):
        Config(base_url="https://api.example.com" + rest)


@table("url", ["https://me:hush@example.com", "https://:hush@example.com"])
def test_a_password_in_the_url_is_refused_and_not_shown(url):
    with pytest.raises(ConfigurationError, match="more than an origin") as refused:
        Config(base_url=url)
    assert "hush" not in str(refused.value)


@table("host", ["api.example.com", "0.0.0.0", "10.0.0.1", "notlocalhost", "127.0.0.1.example.com"])
def test_plain_http_leaves_this_machine_only_when_asked_to(host):
    with pytest.raises(ConfigurationError, match=r"plain http to .*allow_http=True"):
        Config(base_url=f"http://{host}")

    assert Config(base_url=f"http://{host}", allow_http=True).base_url == f"http://{host}"


def test_the_host_comes_from_the_environment_unless_it_is_given(monkeypatch):
    assert Config().base_url == DEFAULT_BASE_URL
    monkeypatch.setenv("SYMBL_BASE_URL", LOCAL + "/")
    assert Config().base_url == LOCAL
    assert Config(base_url="https://h").base_url == "https://h"
    monkeypatch.setenv("SYMBL_BASE_URL", "")
    assert Config().base_url == DEFAULT_BASE_URL


def test_a_wrong_host_in_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv("SYMBL_BASE_URL", "http://example.com")

    with pytest.raises(ConfigurationError, match="plain http"):
        Config()


def test_a_changed_copy_is_checked_again():
    changed = Config(base_url=LOCAL).evolve(limits=Limits(jobs=3))

    assert (changed.limits.jobs, changed.base_url) == (3, LOCAL)
    with pytest.raises(ConfigurationError):
        changed.evolve(base_url="http://example.com")


def test_settings_are_frozen():
    for value in (Config(base_url=LOCAL), Limits(), Credentials("id", "hush")):
        name = fields(type(value))[0].name
        with pytest.raises(AttributeError):
            setattr(value, name, "other")


# Credentials


@table("bad", ["", "   ", None, 5])
@table("name", ["app_id", "app_secret"])
def test_empty_credentials_are_refused_by_name(name, bad):
    given = {"app_id": "id", "app_secret": "hush"} | {name: bad}

    with pytest.raises(ConfigurationError, match=rf"Credentials\.{name}"):
        Credentials(**given)


@table(
    "bad", ["", "two words", "line\nbreak", "hush\r\nX-Other: 1", "tab\t", "nul\0", "é", None, b"x"]
)
def test_a_token_that_cannot_stand_in_a_header_is_refused_and_not_shown(bad):
    with pytest.raises(ConfigurationError, match=r"AccessToken\.value") as refused:
        AccessToken(bad)
    assert "hush" not in str(refused.value)


def test_a_token_may_tell_how_long_it_lives():
    assert AccessToken("t").expires_in is None
    assert AccessToken("t", expires_in=60).expires_in == 60
    with pytest.raises(ConfigurationError, match=r"AccessToken\.expires_in"):
        AccessToken("t", expires_in=0)


def test_secrets_are_not_in_any_repr():
    for value in (Credentials("id", "hush"), AccessToken("hush", expires_in=60)):
        assert "hush" not in repr(value)
        assert "hush" not in f"{value}"
    assert "id" in repr(Credentials("id", "hush"))


def test_a_token_in_the_environment_comes_before_an_application(monkeypatch):
    monkeypatch.setenv("SYMBL_APP_ID", "id")
    monkeypatch.setenv("SYMBL_APP_SECRET", "hush")
    assert credentials_from_env() == Credentials("id", "hush")

    monkeypatch.setenv("SYMBL_ACCESS_TOKEN", "token")
    assert credentials_from_env() == AccessToken("token")


@pytest.mark.parametrize(
    "there, missing",
    [
        ((), "SYMBL_APP_ID and SYMBL_APP_SECRET not set"),
        (("SYMBL_APP_ID",), "credentials: SYMBL_APP_SECRET not set"),
        (("SYMBL_APP_SECRET",), "credentials: SYMBL_APP_ID not set"),
    ],
)
def test_missing_credentials_are_named(monkeypatch, there, missing):
    for name in there:
        monkeypatch.setenv(name, "hush")

    with pytest.raises(ConfigurationError, match=missing) as refused:
        credentials_from_env()
    assert "hush" not in str(refused.value)


# The words


@table("cls", [Timeouts, Polls, Retries, Limits, Lanes, Config])
def test_every_setting_is_explained(cls):
    (source,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(source, ast.ClassDef)
    explained = {
        ast.unparse(field.target)
        for field, below in pairwise(source.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }

    assert {field.name for field in fields(cls)} <= explained


def test_the_default_host_is_a_good_one():
    assert Config(base_url=DEFAULT_BASE_URL).base_url == DEFAULT_BASE_URL


def test_labs_calls_go_to_the_vendors_labs_host_beside_the_vendors_own():
    assert Config(base_url=DEFAULT_BASE_URL).labs_origin == DEFAULT_LABS_URL
    assert Config(base_url=LOCAL).labs_origin == LOCAL
    # A copy for another host must not send that host's token to the vendor.
    assert Config(base_url=DEFAULT_BASE_URL).evolve(base_url=LOCAL).labs_origin == LOCAL


def test_a_labs_host_of_ones_own_is_an_origin_like_any_other():
    assert Config(base_url=LOCAL, labs_url="https://labs.example.com/").labs_origin == (
        "https://labs.example.com"
    )
    with pytest.raises(ConfigurationError, match=r"Config\.labs_url is plain http"):
        Config(base_url=LOCAL, labs_url="http://labs.example.com")
    with pytest.raises(ConfigurationError, match=r"Config\.labs_url holds more"):
        Config(base_url=LOCAL, labs_url="https://labs.example.com/v1")


def test_the_family_of_tracker_paths_is_one_of_two():
    assert Config(base_url=LOCAL).tracker_paths == "2022"
    with pytest.raises(ConfigurationError, match=r"Config\.tracker_paths.*2024"):
        Config(base_url=LOCAL, tracker_paths="newest")  # type: ignore[arg-type]


# Webhooks

HOOKS = "https://us.example/hooks"


@table("secret", ["", "\ud800", b"hush", 5])
@table("url", [None, HOOKS])
def test_a_webhook_secret_is_a_text(url, secret):
    with pytest.raises(ConfigurationError, match=r"Config\.webhook_secret is not"):
        Config(base_url=LOCAL, webhook_base_url=url, webhook_secret=secret)


def test_a_webhook_address_needs_a_secret():
    with pytest.raises(ConfigurationError, match=r"Config\.webhook_secret is missing.*give"):
        Config(base_url=LOCAL, webhook_base_url=HOOKS)
    hooked = Config(base_url=LOCAL, webhook_base_url=HOOKS, webhook_secret="hush")
    assert hooked.webhook_base_url == HOOKS


@table(
    "url",
    ["", "us.example/hooks", "ftp://us.example", "https://", "https://us.example/?a=b",
     "https://us.example/#here", "https://us.example/a b", "https://[::1", "https://h:port", 5],
)  # fmt: skip
def test_a_webhook_address_is_a_url_without_a_query(url):
    with pytest.raises(ConfigurationError, match=r"Config\.webhook_base_url is not") as refused:
        Config(base_url=LOCAL, webhook_base_url=url, webhook_secret="hush")
    assert "hush" not in str(refused.value)


def test_webhook_networks_are_addresses_and_networks():
    networks = ("192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "::1")

    assert Config(base_url=LOCAL).webhook_networks == ()
    assert Config(base_url=LOCAL, webhook_networks=list(networks)).webhook_networks == networks


@table(
    "networks",
    ["192.0.2.0/24", None, 5, [""], ["us.example"], ["192.0.2.1/24"], ["192.0.2.0/33"], [5],
     [b"\x7f\0\0\1"], [None], ["::1", "192.0.2.0/24 "]],
)  # fmt: skip
def test_what_is_no_network_is_refused(networks):
    with pytest.raises(ConfigurationError, match=r"Config\.webhook_networks.*give a list"):
        Config(base_url=LOCAL, webhook_networks=networks)


class SecretStr:
    """A secret of another library, which is no text."""


def test_a_secret_that_is_no_text_is_named_by_its_type():
    with pytest.raises(ConfigurationError, match="app_secret is a SecretStr; give"):
        Credentials("app", SecretStr())  # type: ignore[arg-type]
