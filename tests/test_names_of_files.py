"""Keys and names hold whatever the names of files hold; control characters alone are refused."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbl_aio import ConfigurationError, MediaOptions
from symbl_aio._io.queue import check_key as check_key
from symbl_aio._source_names import source_name
from symbl_aio.durable.items import check_key as check_outbox_key
from tests.names import is_control
from tests.tables import table

# All thirty of Unicode's.
CATEGORIES = (
    "Cc Cf Cn Co Cs Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs"
)


@table("category", CATEGORIES.split())
def test_a_name_of_any_category_is_taken_unless_it_steers_or_has_no_utf_8(category: str) -> None:
    @given(st.characters(categories=[category]))  # type: ignore[list-item]
    def try_one(character: str) -> None:
        name = f"a{character}b"
        refused = category == "Cs" or is_control(character)
        for check in (check_key, check_outbox_key):
            if refused:
                with pytest.raises(ConfigurationError, match="key is"):
                    check(name)
            else:
                assert check(name) == name
        if category == "Cs":
            with pytest.raises(ConfigurationError, match="name"):
                MediaOptions(name=name)
        else:
            assert MediaOptions(name=name).name == name

    try_one()


@given(st.binary(min_size=1, max_size=60))
def test_a_file_of_any_bytes_has_a_name_of_one_line(name: bytes) -> None:
    path = os.fsdecode(name.replace(b"\0", b"").replace(b"/", b"") or b"x")
    shown = source_name(path)

    assert shown.encode()
    assert not any(map(is_control, shown))
