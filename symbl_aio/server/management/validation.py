"""What a tracker, a group and a custom entity may be. API section 7.

Limits that the documentation itself does not keep are not kept here: its own trackers
have fewer than five terms, and its own groups spaces in their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from symbl_aio.server.conversations.list_query import filtering
from symbl_aio.server.http_json import JSON, RefusedError, instant_text, now
from symbl_aio.server.management.records import Record

_MOST_TERMS = 50
_TERM = re.compile(r"[\w\s.'\u2019-]+")
_GROUP_NAME = re.compile(r"[\w\s\"-]{1,128}")


def tracker(sent: Mapping[str, JSON]) -> Record:
    """A tracker of the 2022 form: a name and a vocabulary."""
    return {"name": _name(sent), "vocabulary": _terms(sent, "vocabulary", needed=True)}


def newer_tracker(sent: Mapping[str, JSON]) -> Record:
    """A tracker of the newer form, which has more fields and knows its times."""
    at = instant_text(now())
    created = sent.get("createdOn")
    description = sent.get("description", "")
    if not isinstance(description, str):
        raise RefusedError(400, '"description" must be a string.')
    return {
        **tracker(sent),
        "description": description,
        "categories": _texts(sent, "categories"),
        "languages": _texts(sent, "languages"),
        "excludeVocabulary": _terms(sent, "excludeVocabulary", needed=False),
        "createdOn": created if isinstance(created, str) else at,
        "updatedOn": at,
    }


def group(sent: Mapping[str, JSON]) -> Record:
    """A group: its criteria are RSQL about one or two parameters."""
    name, description = sent.get("name"), sent.get("description", "")
    criteria = sent.get("criteria")
    if not isinstance(name, str) or not name.strip() or not _GROUP_NAME.fullmatch(name):
        raise RefusedError(
            400,
            '"name" is required: at most 128 letters, digits, spaces, hyphens, '
            "underscores and quotes.",
        )
    if not isinstance(description, str) or len(description) > 512:
        raise RefusedError(400, '"description" must be a string of at most 512 characters.')
    if not isinstance(criteria, str) or not criteria.strip():
        raise RefusedError(400, '"criteria" is required and must be RSQL.')
    filtering(criteria, "criteria")
    return {"name": name, "description": description, "criteria": criteria}


def entity(sent: Mapping[str, JSON]) -> Record:
    """A custom entity: texts that are found as they stand."""
    for field in ("type", "subType"):
        value = sent.get(field)
        if not isinstance(value, str) or not value.strip():
            raise RefusedError(400, f'"{field}" is required and must be text.')
    if sent.get("category", "Custom") != "Custom":
        raise RefusedError(400, '"category" must be Custom.')
    values = _texts(sent, "values")
    if not values:
        raise RefusedError(400, '"values" is required and must have at least one text.')
    return {
        "type": sent["type"],
        "subType": sent["subType"],
        "category": "Custom",
        "values": values,
    }


def _name(sent: Mapping[str, JSON]) -> str:
    name = sent.get("name")
    if not isinstance(name, str) or not name.strip():
        raise RefusedError(400, '"name" is required and must be text.')
    return name


def _terms(sent: Mapping[str, JSON], field: str, *, needed: bool) -> list[JSON]:
    terms = _texts(sent, field)
    if needed and not terms:
        raise RefusedError(400, f'"{field}" is required and must have at least one term.')
    if len(terms) > _MOST_TERMS:
        raise RefusedError(400, f'"{field}" has more than {_MOST_TERMS} terms.')
    for index, term in enumerate(terms):
        if terms.index(term) != index:
            raise RefusedError(400, f'"{field}" has a term twice: "{term}".')
        if not _TERM.fullmatch(str(term)):
            raise RefusedError(
                400, f'"{field}[{index}]" may have letters, digits, full stops and apostrophes.'
            )
    return terms


def _texts(sent: Mapping[str, JSON], field: str) -> list[JSON]:
    value = sent.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
        raise RefusedError(400, f'"{field}" must be a list of texts.')
    return list(value)
