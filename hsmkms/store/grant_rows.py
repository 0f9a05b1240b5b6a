"""Rows of grants, and the grants they stand for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Row, Select, select

from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant, Grantee
from hsmkms.model.names import AccountId, KeyId
from hsmkms.store.moments import from_text, to_text
from hsmkms.store.tables import grants

_PREFIX: Final = "kms:"

_log = structlog.get_logger(__name__)


def load_grants(connection: Connection, query: Select[Any] | None = None) -> Iterator[Grant]:
    """The grants that a query of whole rows finds; all of them without one.

    A damaged row is left out, and nobody else's key with it: what a grant gives is taken away at worst.
    """
    for row in connection.execute(select(grants) if query is None else query):
        try:
            yield grant_of(row)
        except (ValueError, TypeError) as error:
            _log.error("grant_row_damaged", grant_id=row.grant_id, reason=type(error).__name__)


def grant_columns(grant: Grant) -> dict[str, object]:
    """A grant's row."""
    return {
        "grant_id": grant.grant_id,
        "key_id": grant.key_id,
        "name": grant.name,
        "grantee_arn": grant.grantee.arn,
        "grantee_id": grant.grantee.unique_id,
        "retiring_arn": None if grant.retiring is None else grant.retiring.arn,
        "retiring_id": None if grant.retiring is None else grant.retiring.unique_id,
        "operations": json.dumps(sorted(action.removeprefix(_PREFIX) for action in grant.actions)),
        "context_equals": _context_text(grant.context_equals),
        "context_subset": _context_text(grant.context_subset),
        "source_arn": grant.source_arn,
        "issuing_account": grant.issuing_account,
        "token_key": grant.token_key,
        "created_at": to_text(grant.created_at),
    }


def grant_of(row: Row[Any]) -> Grant:
    """The grant of a row."""
    return Grant(
        grant_id=row.grant_id,
        key_id=KeyId(row.key_id),
        grantee=_grantee(row.grantee_arn, row.grantee_id),
        actions=_actions(row.operations),
        issuing_account=AccountId(row.issuing_account),
        created_at=from_text(row.created_at),
        name=row.name,
        retiring=None if row.retiring_id is None else _grantee(row.retiring_arn, row.retiring_id),
        context_equals=_context(row.context_equals),
        context_subset=_context(row.context_subset),
        source_arn=row.source_arn,
        token_key=row.token_key,
    )


# Thousands of grants have the same operations and the same grantee: they share the objects.


@lru_cache(maxsize=1024)
def _actions(text: str) -> frozenset[Action]:
    return frozenset(Action(f"{_PREFIX}{operation}") for operation in json.loads(text))


@lru_cache(maxsize=4096)
def _grantee(arn: str, unique_id: str) -> Grantee:
    return Grantee(arn, unique_id)


def _context_text(context: Mapping[str, str] | None) -> str | None:
    return None if context is None else json.dumps(dict(context), sort_keys=True)


def _context(text: str | None) -> dict[str, str] | None:
    return None if text is None else json.loads(text)
