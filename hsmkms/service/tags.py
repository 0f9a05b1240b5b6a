"""Tags on keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hsmkms.errors import LimitExceededError, TagError
from hsmkms.formats.marker import ListKind
from hsmkms.model.actions import Action
from hsmkms.model.keys import Tag
from hsmkms.service.call import Call
from hsmkms.service.key_context import Particulars
from hsmkms.service.paging import page_of, position
from hsmkms.service.region import RegionRoom
from hsmkms.service.results import Page

TAGS_PER_KEY: Final = 50
_RESERVED_PREFIX: Final = "aws:"


class TagVerbs(RegionRoom):
    """The verbs about tags."""

    def tag_resource(self, call: Call, key_ref: str, tags: Sequence[Tag]) -> None:
        """Add tags to a key, or give new values to those that it has."""
        require_few(tags)
        particulars = Particulars(more=tag_conditions(tags))
        key_id = self.resolve_without_alias(call, Action.TAG_RESOURCE, key_ref, particulars).key_id
        _require_well_formed(tags)
        with self.keys.change() as change:
            self.require_state(Action.TAG_RESOURCE, self.require_present(change, key_id))
            tag_keys = {tag.tag_key for tag in change.tags(key_id)} | {tag.tag_key for tag in tags}
            if len(tag_keys) > TAGS_PER_KEY:
                raise LimitExceededError(f"A key has at most {TAGS_PER_KEY} tags")
            change.put_tags(key_id, tags)

    def untag_resource(self, call: Call, key_ref: str, tag_keys: Sequence[str]) -> None:
        """Take tags off a key; one that is not there is no error."""
        require_few(tag_keys)
        particulars = Particulars(more={"aws:tagkeys": tuple(tag_keys)})
        key_id = self.resolve_without_alias(call, Action.UNTAG_RESOURCE, key_ref, particulars).key_id
        if any(tag_key.lower().startswith(_RESERVED_PREFIX) for tag_key in tag_keys):
            raise TagError(f"Tags beginning with {_RESERVED_PREFIX} are reserved")
        with self.keys.change() as change:
            self.require_state(Action.UNTAG_RESOURCE, self.require_present(change, key_id))
            change.remove_tags(key_id, tag_keys)

    def list_resource_tags(self, call: Call, key_ref: str, *, limit: int, marker: str | None) -> Page[Tag]:
        """A key's tags in the order of their keys."""
        key_id = self.resolve_without_alias(call, Action.LIST_RESOURCE_TAGS, key_ref).key_id
        after = position(ListKind.TAGS, marker)
        tags = self.keys.list_tags(key_id, after, limit + 1)
        return page_of(ListKind.TAGS, tags, limit, lambda tag: tag.tag_key)


def tag_conditions(tags: Sequence[Tag]) -> Mapping[str, tuple[str, ...]]:
    """The condition keys that tell which tags a request brings; none when it brings none."""
    if not tags:
        return {}
    values = {f"aws:requesttag/{tag.tag_key.lower()}": (tag.tag_value,) for tag in tags}
    return {**values, "aws:tagkeys": tuple(tag.tag_key for tag in tags)}


def require_tags_for_new_key(tags: Sequence[Tag]) -> None:
    """Refuse tags that a new key may not have.

    Raises:
        TagError: too many, a repeated key, or a reserved one.
    """
    require_few(tags)
    _require_well_formed(tags)


def require_few(tags: Sequence[object]) -> None:
    """Refuse more tags than a key can have, before they are compared with anything.

    Raises:
        TagError: more.
    """
    if len(tags) > TAGS_PER_KEY:
        raise TagError("Too many tags")


def _require_well_formed(tags: Sequence[Tag]) -> None:
    # Conditions see them without regard to case: one would hide the other's value.
    tag_keys = [tag.tag_key.lower() for tag in tags]
    if len(set(tag_keys)) != len(tag_keys):
        raise TagError("Duplicate tag keys")
    if any(tag_key.lower().startswith(_RESERVED_PREFIX) for tag_key in tag_keys):
        raise TagError(f"Tags beginning with {_RESERVED_PREFIX} are reserved")
