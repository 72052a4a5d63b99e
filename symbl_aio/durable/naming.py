"""What a caller names: keys of items, conversations and a priority, checked and told of."""

from __future__ import annotations

from typing import Final, TypeGuard

from symbl_aio import ConfigurationError
from symbl_aio._fields import is_word

_LONGEST_NAME: Final = 200
MOST_PRIORITY: Final = 1000
"""And the least one is as far below 0."""


def check_conversation(conversation: object) -> str:
    """Return it, or raise ``ConfigurationError`` for what names no conversation."""
    if not _is_name(conversation):
        raise ConfigurationError(
            f"conversation is {conversation!r}; give the key of the item that opens it, "
            "or the conversation's id"
        )
    return conversation


def check_key(key: object) -> str:
    """Return it, or raise ``ConfigurationError`` for what cannot be a key."""
    if not _is_name(key):
        raise ConfigurationError(
            f"key is {key!r}; give a non-empty string of at most {_LONGEST_NAME} "
            "characters, none of them a control character or line break"
        )
    return key


def check_priority(priority: object) -> int:
    """Return it, or raise ``ConfigurationError`` for what is out of range."""
    if type(priority) is not int or abs(priority) > MOST_PRIORITY:
        raise ConfigurationError(
            f"priority is {priority!r}; give a whole number from -{MOST_PRIORITY} "
            f"to {MOST_PRIORITY}, the higher the sooner"
        )
    return priority


def no_item(key: str) -> str:
    """Return what is told of a key that no item has."""
    return f"no item has the key {key!r}"


def _is_name(given: object) -> TypeGuard[str]:
    return is_word(given) and len(given) <= _LONGEST_NAME
