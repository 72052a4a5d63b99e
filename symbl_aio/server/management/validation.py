"""Validation of trackers, groups and custom entities. API section 7.

Limits that the documentation's own examples break are not enforced: its trackers have
fewer than five terms, and its groups have spaces in their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from symbl_aio.server.conversations.list_query import parse_filter
from symbl_aio.server.http_json import JSON, ApiError, format_instant, now
from symbl_aio.server.management.json_patch import Record

_MAX_TERMS = 50
_TERM = re.compile(r"[\w\s.'\u2019-]+")
_GROUP_NAME = re.compile(r"[\w\s\"-]{1,128}")


def tracker_record(fields: Mapping[str, JSON]) -> Record:
    """Return a tracker; that of 2022 has a name and a vocabulary only."""
    at = format_instant(now())
    created = fields.get("createdOn")
    description = fields.get("description", "")
    if not isinstance(description, str):
        raise ApiError(400, '"description" must be a string.')
    return {
        "name": _name(fields),
        "vocabulary": _terms(fields, "vocabulary", required=True),
        "description": description,
        "categories": _texts(fields, "categories"),
        "languages": _texts(fields, "languages"),
        "excludeVocabulary": _terms(fields, "excludeVocabulary", required=False),
        "createdOn": created if isinstance(created, str) else at,
        "updatedOn": at,
    }


def group_record(fields: Mapping[str, JSON]) -> Record:
    """Return a group; its criteria are RSQL about one or two parameters."""
    name, description = fields.get("name"), fields.get("description", "")
    criteria = fields.get("criteria")
    if not isinstance(name, str) or not name.strip() or not _GROUP_NAME.fullmatch(name):
        raise ApiError(
            400,
            '"name" is required: at most 128 letters, digits, spaces, hyphens, '
            "underscores and quotes.",
        )
    if not isinstance(description, str) or len(description) > 512:
        raise ApiError(400, '"description" must be a string of at most 512 characters.')
    if not isinstance(criteria, str) or not criteria.strip():
        raise ApiError(400, '"criteria" is required and must be RSQL.')
    # Parsed to refuse bad criteria now, not when the group is read.
    parse_filter(criteria, "criteria")
    return {"name": name, "description": description, "criteria": criteria}


def entity_record(fields: Mapping[str, JSON]) -> Record:
    """Return a custom entity; its texts are matched literally."""
    for field in ("type", "subType"):
        value = fields.get(field)
        if not isinstance(value, str) or not value.strip():
            raise ApiError(400, f'"{field}" is required and must be text.')
    if fields.get("category", "Custom") != "Custom":
        raise ApiError(400, '"category" must be Custom.')
    values = _texts(fields, "values")
    if not values:
        raise ApiError(400, '"values" is required and must have at least one text.')
    return {
        "type": fields["type"],
        "subType": fields["subType"],
        "category": "Custom",
        "values": values,
    }


def _name(fields: Mapping[str, JSON]) -> str:
    name = fields.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ApiError(400, '"name" is required and must be text.')
    return name


def _terms(fields: Mapping[str, JSON], field: str, *, required: bool) -> list[JSON]:
    terms = _texts(fields, field)
    if required and not terms:
        raise ApiError(400, f'"{field}" is required and must have at least one term.')
    if len(terms) > _MAX_TERMS:
        raise ApiError(400, f'"{field}" has more than {_MAX_TERMS} terms.')
    for index, term in enumerate(terms):
        if terms.index(term) != index:
            raise ApiError(400, f'"{field}" has a term twice: "{term}".')
        if not _TERM.fullmatch(str(term)):
            raise ApiError(
                400, f'"{field}[{index}]" may have letters, digits, full stops and apostrophes.'
            )
    return terms


def _texts(fields: Mapping[str, JSON], field: str) -> list[JSON]:
    value = fields.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
        raise ApiError(400, f'"{field}" must be a list of texts.')
    return list(value)
