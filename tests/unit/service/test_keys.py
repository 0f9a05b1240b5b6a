"""The life of a key in this slice, its aliases and its tags."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from hsmkms.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    InvalidAliasNameError,
    InvalidMarkerError,
    KeyStateError,
    KeyUnavailableError,
    KmsError,
    LimitExceededError,
    NotFoundError,
    TagError,
    ValidationError,
)
from hsmkms.model.keys import Alias, Key, KeyState, Tag
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.service.call import Call
from hsmkms.service.clockwork import UNFINISHED_LIFETIME
from hsmkms.service.results import Page
from tests.hsm_fakes import FakeHsm
from tests.unit.service.region import ACCOUNT, OTHER_ACCOUNT, REGION, RegionUnderTest, build_region, call

PREFIX = f"arn:aws:kms:{REGION}:{ACCOUNT}"


def test_a_new_key_is_enabled_and_is_one_object_in_the_token(region: RegionUnderTest) -> None:
    made = region.kms.create_key(call("CreateKey"), description="d", tags=[Tag("a", "b")])
    assert made.state is KeyState.ENABLED
    assert made.description == "d"
    assert made.created_at == region.clock.now()
    assert list(region.hsm.objects) == [made.current_material_id]
    assert region.kms.describe_key(call(), made.key_id) == made
    assert region.kms.list_resource_tags(call(), made.key_id, limit=10, marker=None).items == [Tag("a", "b")]


def test_a_full_token_leaves_nothing_behind(tmp_path: Path) -> None:
    region = build_region(tmp_path, hsm=FakeHsm(capacity=0))
    with pytest.raises(LimitExceededError):
        region.kms.create_key(call("CreateKey"), description="", tags=())
    region.clock.advance(UNFINISHED_LIFETIME * 2)
    assert region.keys.unfinished_versions(region.clock.now()) == []


class DyingHsm(FakeHsm):
    """A token that makes the object, and then the process is gone."""

    def create_material(self, key_id: KeyId, material_id: MaterialId) -> bytes:
        super().create_material(key_id, material_id)
        raise KeyUnavailableError("gone in the middle")


def test_an_unfinished_key_is_swept_once_nobody_can_be_waiting_for_it(tmp_path: Path) -> None:
    region = build_region(tmp_path, hsm=DyingHsm())
    with pytest.raises(KeyUnavailableError):
        region.kms.create_key(call("CreateKey"), description="", tags=())
    region.clockwork.round()
    assert len(region.hsm.objects) == 1
    region.clock.advance(UNFINISHED_LIFETIME + timedelta(seconds=1))
    region.hsm.state = Readiness(ReadinessState.AWAY, "cable")
    region.clockwork.round()
    assert len(region.keys.unfinished_versions(region.clock.now())) == 1, (
        "the row stays until the object is gone"
    )
    region.hsm.state = Readiness(ReadinessState.READY)
    region.clockwork.round()
    assert region.hsm.objects == {}
    assert region.keys.unfinished_versions(region.clock.now()) == []


def test_the_sweep_leaves_finished_keys_alone(region: RegionUnderTest, key: Key) -> None:
    region.clock.advance(UNFINISHED_LIFETIME * 2)
    region.clockwork.round()
    assert region.kms.describe_key(call(), key.key_id) == key
    assert len(region.hsm.objects) == 1


def test_lists_come_in_pages_and_hold_the_callers_own_alone(region: RegionUnderTest) -> None:
    made = {region.kms.create_key(call(), description="", tags=()).key_id for _ in range(5)}
    region.kms.create_key(call(caller=OTHER_ACCOUNT), description="", tags=())
    seen: list[KeyId] = []
    marker = None
    for _ in range(3):
        page = region.kms.list_keys(call("ListKeys"), limit=2, marker=marker)
        seen += page.items
        marker = page.next_marker
    assert marker is None
    assert seen == sorted(made)
    exact = region.kms.list_keys(call("ListKeys"), limit=5, marker=None)
    assert exact.next_marker is None


def test_no_account_shares_keys(region: RegionUnderTest, key: Key) -> None:
    region.kms.create_key(call(caller=OTHER_ACCOUNT), description="", tags=())
    asked = call("ListKeys")
    assert region.kms.list_keys(asked, own=False, limit=10, marker=None) == Page((), None)
    assert "decisions" in asked.additional
    assert region.kms.list_keys(call("ListKeys"), own=True, limit=10, marker=None).items == [key.key_id]


def test_a_marker_of_another_list_is_refused(region: RegionUnderTest, key: Key) -> None:
    region.kms.tag_resource(call(), key.key_id, [Tag("a", "1"), Tag("b", "2")])
    marker = region.kms.list_resource_tags(call(), key.key_id, limit=1, marker=None).next_marker
    with pytest.raises(InvalidMarkerError):
        region.kms.list_keys(call(), limit=1, marker=marker)


def test_disable_and_enable_twice_are_as_good_as_once(region: RegionUnderTest, key: Key) -> None:
    for _ in range(2):
        region.kms.disable_key(call("DisableKey", read_only=False), key.key_id)
        assert region.kms.describe_key(call(), key.key_id).state is KeyState.DISABLED
    for _ in range(2):
        region.kms.enable_key(call("EnableKey", read_only=False), key.key_id)
        assert region.kms.describe_key(call(), key.key_id).state is KeyState.ENABLED


def test_a_description_changes(region: RegionUnderTest, key: Key) -> None:
    region.kms.update_key_description(call(), key.key_id, "new")
    assert region.kms.describe_key(call(), key.key_id).description == "new"


def test_a_key_on_its_way_out_changes_no_more(region: RegionUnderTest, key: Key) -> None:
    region.kms.create_alias(call(), "alias/a", key.key_id)
    with region.keys.change() as change:
        change.set_state(key.key_id, KeyState.PENDING_DELETION)
    kms = region.kms
    verbs: tuple[Callable[[], None], ...] = (
        lambda: kms.enable_key(call(), key.key_id),
        lambda: kms.disable_key(call(), key.key_id),
        lambda: kms.update_key_description(call(), key.key_id, "x"),
        lambda: kms.create_alias(call(), "alias/b", key.key_id),
        lambda: kms.update_alias(call(), "alias/a", key.key_id),
        lambda: kms.tag_resource(call(), key.key_id, [Tag("a", "b")]),
        lambda: kms.untag_resource(call(), key.key_id, ["a"]),
    )
    for verb in verbs:
        with pytest.raises(KeyStateError, match=r"is pending deletion\."):
            verb()
    kms.delete_alias(call(), "alias/a")


def test_an_alias_is_made_moved_and_removed(region: RegionUnderTest, key: Key) -> None:
    other = region.kms.create_key(call(), description="", tags=())
    region.kms.create_alias(call(), "alias/app", key.key_id)
    assert region.kms.describe_key(call(), "alias/app").key_id == key.key_id
    with pytest.raises(AlreadyExistsError):
        region.kms.create_alias(call(), "alias/app", other.key_id)
    region.clock.advance(timedelta(hours=1))
    region.kms.update_alias(call(), "alias/app", other.key_id)
    assert region.kms.describe_key(call(), "alias/app").key_id == other.key_id
    (alias,) = region.kms.list_aliases(call(), key_ref=other.key_id, limit=10, marker=None).items
    assert alias.updated_at - alias.created_at == timedelta(hours=1)
    assert region.kms.list_aliases(call(), key_ref=key.key_id, limit=10, marker=None).items == []
    region.kms.delete_alias(call(), "alias/app")
    for verb in (
        lambda: region.kms.delete_alias(call(), "alias/app"),
        lambda: region.kms.update_alias(call(), "alias/app", key.key_id),
        lambda: region.kms.describe_key(call(), "alias/app"),
    ):
        with pytest.raises(NotFoundError, match="is not found"):
            verb()


def test_the_record_of_an_alias_names_every_key_it_had_to_do_with(region: RegionUnderTest, key: Key) -> None:
    kms, other = region.kms, region.kms.create_key(call(), description="", tags=())
    alias, first, second = f"{PREFIX}:alias/app", kms.key_arn(key), kms.key_arn(other)
    created, updated, deleted = call("CreateAlias"), call("UpdateAlias"), call("DeleteAlias")
    kms.create_alias(created, "alias/app", key.key_id)
    kms.update_alias(updated, "alias/app", other.key_id)
    kms.delete_alias(deleted, "alias/app")
    assert created.resources == [alias, first]
    assert sorted(updated.resources) == sorted([alias, first, second])
    assert deleted.resources == [alias, second]


def test_an_alias_of_a_key_that_is_not_the_callers_stays_as_it_is(region: RegionUnderTest, key: Key) -> None:
    """No caller can make one; policies will be able to take the key away from whoever has the alias."""
    foreign = region.kms.create_key(call(caller=OTHER_ACCOUNT), description="", tags=())
    now = region.clock.now()
    with region.keys.change() as change:
        change.add_alias(Alias(ACCOUNT, "alias/app", foreign.key_id, now, now))
    verbs: dict[str, Callable[[], None]] = {
        "UpdateAlias": lambda: region.kms.update_alias(call(), "alias/app", key.key_id),
        "DeleteAlias": lambda: region.kms.delete_alias(call(), "alias/app"),
    }
    for action, verb in verbs.items():
        with pytest.raises(
            AccessDeniedError, match=f"kms:{action} on resource: {region.kms.key_arn(foreign)}"
        ):
            verb()
    (alias,) = region.kms.list_aliases(call(), key_ref=None, limit=10, marker=None).items
    assert alias.key_id == foreign.key_id


@pytest.mark.parametrize(
    ("name", "error"),
    [
        pytest.param("app", ValidationError, id="no prefix"),
        pytest.param("alias/", InvalidAliasNameError, id="nothing behind the prefix"),
        pytest.param("alias/a:b", InvalidAliasNameError, id="a colon"),
        pytest.param("alias/aws/s3", InvalidAliasNameError, id="reserved"),
    ],
)
def test_names_that_no_alias_may_have(
    region: RegionUnderTest, key: Key, name: str, error: type[KmsError]
) -> None:
    with pytest.raises(error):
        region.kms.create_alias(call(), name, key.key_id)
    with pytest.raises(error):
        region.kms.update_alias(call(), name, key.key_id)


def test_a_name_without_the_prefix_is_no_alias(region: RegionUnderTest, key: Key) -> None:
    """Nor is it judged otherwise: what is no alias has no ARN that leave could be asked for."""
    verbs: tuple[Callable[[Call], None], ...] = (
        lambda asked: region.kms.create_alias(asked, "app", key.key_id),
        lambda asked: region.kms.update_alias(asked, "app", key.key_id),
        lambda asked: region.kms.delete_alias(asked, "app"),
    )
    for verb in verbs:
        asked = call()
        with pytest.raises(ValidationError) as refusal:
            verb(asked)
        assert str(refusal.value) == (
            'Alias must start with the prefix "alias/". Please see '
            "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
        )
        assert (asked.resources, asked.additional) == ([], {})


def test_a_key_has_at_most_50_aliases(region: RegionUnderTest, key: Key) -> None:
    for number in range(50):
        region.kms.create_alias(call(), f"alias/{number:02}", key.key_id)
    with pytest.raises(LimitExceededError):
        region.kms.create_alias(call(), "alias/more", key.key_id)
    other = region.kms.create_key(call(), description="", tags=())
    region.kms.create_alias(call(), "alias/more", other.key_id)
    with pytest.raises(LimitExceededError):
        region.kms.update_alias(call(), "alias/more", key.key_id)
    region.kms.update_alias(call(), "alias/00", key.key_id)
    first = region.kms.list_aliases(call(), key_ref=None, limit=50, marker=None)
    assert [alias.name for alias in first.items] == [f"alias/{number:02}" for number in range(50)]
    rest = region.kms.list_aliases(call(), key_ref=None, limit=50, marker=first.next_marker)
    assert [alias.name for alias in rest.items] == ["alias/more"]


def test_tags_are_put_replaced_and_removed(region: RegionUnderTest, key: Key) -> None:
    region.kms.tag_resource(call(), key.key_id, [Tag("b", "1"), Tag("a", "")])
    region.kms.tag_resource(call(), key.key_id, [Tag("b", "2")])
    listed = region.kms.list_resource_tags(call(), key.key_id, limit=10, marker=None)
    assert listed.items == [Tag("a", ""), Tag("b", "2")]
    region.kms.untag_resource(call(), key.key_id, ["a", "absent"])
    assert region.kms.list_resource_tags(call(), key.key_id, limit=10, marker=None).items == [Tag("b", "2")]


def test_a_key_has_at_most_50_tags(region: RegionUnderTest, key: Key) -> None:
    tags = [Tag(f"k{number}", "") for number in range(50)]
    region.kms.tag_resource(call(), key.key_id, tags)
    region.kms.tag_resource(call(), key.key_id, tags[:1])
    with pytest.raises(LimitExceededError):
        region.kms.tag_resource(call(), key.key_id, [Tag("more", "")])
    with pytest.raises(TagError):
        region.kms.create_key(call(), description="", tags=[*tags, Tag("more", "")])


RESERVED = "Tags beginning with aws: are reserved"


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        pytest.param([Tag("a", "1"), Tag("a", "2")], "Duplicate tag keys", id="twice"),
        pytest.param([Tag("aws:a", "1")], RESERVED, id="reserved"),
        pytest.param([Tag("AWS:a", "1")], RESERVED, id="reserved, in capitals"),
    ],
)
def test_tags_that_may_not_be(region: RegionUnderTest, key: Key, tags: list[Tag], words: str) -> None:
    with pytest.raises(TagError, match=f"^{words}$"):
        region.kms.tag_resource(call(), key.key_id, tags)
    with pytest.raises(TagError, match=f"^{words}$"):
        region.kms.create_key(call(), description="", tags=tags)
    assert len(region.hsm.objects) == 1


def test_reserved_tags_cannot_be_removed(region: RegionUnderTest, key: Key) -> None:
    with pytest.raises(TagError, match=f"^{RESERVED}$"):
        region.kms.untag_resource(call(), key.key_id, ["aws:a"])
