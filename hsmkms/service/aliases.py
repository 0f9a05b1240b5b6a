"""Aliases: names for keys that can be moved from one key to another."""

from __future__ import annotations

import re
from typing import Final

from hsmkms.errors import (
    AlreadyExistsError,
    InvalidAliasNameError,
    LimitExceededError,
    NotFoundError,
    ValidationError,
)
from hsmkms.formats.marker import ListKind
from hsmkms.model.actions import Action
from hsmkms.model.keys import Alias
from hsmkms.model.names import ALIAS_PREFIX, alias_arn
from hsmkms.ports.store import KeyChanges
from hsmkms.service.call import Call
from hsmkms.service.paging import page_of, position
from hsmkms.service.region import RegionRoom
from hsmkms.service.results import Page

ALIASES_PER_KEY: Final = 50
_ALIAS_NAME: Final = re.compile(r"alias/[a-zA-Z0-9/_-]+")
_NO_PREFIX: Final = (
    'Alias must start with the prefix "alias/". Please see '
    "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
)


class AliasVerbs(RegionRoom):
    """The verbs about aliases. Leave is asked for the alias and for each key that it names."""

    def create_alias(self, call: Call, alias_name: str, target_key_ref: str) -> None:
        """Name a key.

        Raises:
            AlreadyExistsError: the account has an alias of that name.
            InvalidAliasNameError, ValidationError: a name that no alias may have, or that is none.
            LimitExceededError: the key has 50 aliases.
        """
        self._require_alias_allowed(call, Action.CREATE_ALIAS, alias_name)
        self._require_creatable(alias_name)
        target = self.resolve_without_alias(call, Action.CREATE_ALIAS, target_key_ref)
        now = self.clock.now()
        account = call.caller.account
        with self.keys.change() as change:
            self.require_state(Action.CREATE_ALIAS, self.require_present(change, target.key_id))
            if change.alias(account, alias_name) is not None:
                arn = alias_arn(self.region, account, alias_name)
                raise AlreadyExistsError(f"An alias with the name {arn} already exists")
            if change.count_aliases(target.key_id) >= ALIASES_PER_KEY:
                raise LimitExceededError(f"{self.key_arn(target)} has {ALIASES_PER_KEY} aliases already")
            change.add_alias(Alias(account, alias_name, target.key_id, now, now))

    def update_alias(self, call: Call, alias_name: str, target_key_ref: str) -> None:
        """Let an alias name another key.

        The new key has to be of the old one's kind, so that an alias never changes what a program can do with
        it. There is one kind so far.
        """
        self._require_alias_allowed(call, Action.UPDATE_ALIAS, alias_name)
        self._require_creatable(alias_name)
        target = self.resolve_without_alias(call, Action.UPDATE_ALIAS, target_key_ref)
        with self.keys.change() as change:
            alias = self._require_alias(call, Action.UPDATE_ALIAS, change, alias_name)
            self.require_state(Action.UPDATE_ALIAS, self.require_present(change, target.key_id))
            if alias.key_id != target.key_id and change.count_aliases(target.key_id) >= ALIASES_PER_KEY:
                raise LimitExceededError(f"{self.key_arn(target)} has {ALIASES_PER_KEY} aliases already")
            change.set_alias_target(alias.account, alias_name, target.key_id, self.clock.now())

    def delete_alias(self, call: Call, alias_name: str) -> None:
        """Remove an alias; the key stays as it is."""
        self._require_alias_allowed(call, Action.DELETE_ALIAS, alias_name)
        with self.keys.change() as change:
            alias = self._require_alias(call, Action.DELETE_ALIAS, change, alias_name)
            change.remove_alias(alias.account, alias_name)

    def list_aliases(self, call: Call, *, key_ref: str | None, limit: int, marker: str | None) -> Page[Alias]:
        """The account's aliases, or one key's, by name."""
        account = call.caller.account
        if key_ref is None:
            self.require_allowed_in_account(call, Action.LIST_ALIASES)
            key_id = None
        else:
            key_id = self.resolve_without_alias(call, Action.LIST_ALIASES, key_ref).key_id
        after = position(ListKind.ALIASES, marker)
        aliases = self.keys.list_aliases(account, key_id, after, limit + 1)
        return page_of(ListKind.ALIASES, aliases, limit, lambda alias: alias.name)

    def _require_alias_allowed(self, call: Call, action: Action, alias_name: str) -> None:
        if not alias_name.startswith(ALIAS_PREFIX):
            raise ValidationError(_NO_PREFIX)
        arn = alias_arn(self.region, call.caller.account, alias_name)
        self.require_allowed_in_account(call, action, arn)
        call.resources.append(arn)

    def _require_alias(self, call: Call, action: Action, change: KeyChanges, alias_name: str) -> Alias:
        """An alias as the latest commit has it, if the caller may do this to the key that it names.

        Raises:
            NotFoundError: the account has no such alias.
            AccessDeniedError: the caller may not.
        """
        account = call.caller.account
        alias = change.alias(account, alias_name)
        if alias is None:
            raise NotFoundError(f"Alias {alias_arn(self.region, account, alias_name)} is not found.")
        key = self.require_present(change, alias.key_id)
        self.require_allowed(call, action, key)
        call.resources.append(self.key_arn(key))
        return alias

    def _require_creatable(self, alias_name: str) -> None:
        if _ALIAS_NAME.fullmatch(alias_name) is None:
            raise InvalidAliasNameError(f"{alias_name} contains invalid characters for an alias")
        if alias_name.startswith(self.reserved_alias_prefix):
            raise InvalidAliasNameError(
                f"{alias_name} begins with {self.reserved_alias_prefix}, which is reserved"
            )
