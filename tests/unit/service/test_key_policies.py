"""Key policies: put, read, bound to who bore the names, and never such that the key is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hsmkms.errors import (
    AccessDeniedError,
    LockoutError,
    MalformedPolicyDocumentError,
    NotFoundError,
)
from hsmkms.model.keys import Key, Tag
from hsmkms.policy.defaults import default_key_policy
from tests.unit.service.region import ACCOUNT, OTHER_ACCOUNT, RegionUnderTest, call, root

ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(to: str | Sequence[str], *actions: str, **conditions: Mapping[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": to},
        "Action": list(actions) or "kms:*",
        "Resource": "*",
    }
    return statement | ({"Condition": conditions} if conditions else {})


def on_any(*actions: str, effect: str = "Allow") -> dict[str, Any]:
    """A statement of an identity-based policy."""
    return {"Effect": effect, "Action": list(actions) or "kms:*", "Resource": "*"}


def put(region: RegionUnderTest, key: Key, text: str, *, bypasses: bool = False, by: Any = None) -> None:
    asked = call("PutKeyPolicy", by or root())
    region.kms.put_key_policy(asked, key.key_id, "default", text, bypasses_lockout_check=bypasses)


def test_a_new_key_has_the_default_policy(region: RegionUnderTest, key: Key) -> None:
    assert region.kms.get_key_policy(call(), key.key_id, "default") == default_key_policy(ACCOUNT)


def test_a_policy_is_given_back_as_it_was_put(region: RegionUnderTest, key: Key) -> None:
    text = "\n " + document(allow(ROOT)) + "\t"
    put(region, key, text)
    assert region.kms.get_key_policy(call(), key.key_id, "default") == text


def test_a_key_may_be_made_with_its_policy(region: RegionUnderTest) -> None:
    ann = region.people.user("ann")
    text = document(allow([ROOT, ann.principal.arn]))
    made = region.kms.create_key(call("CreateKey"), description="", tags=(), policy_text=text)
    assert region.kms.get_key_policy(call("GetKeyPolicy", ann), made.key_id, "default") == text


def test_the_new_policy_counts_for_the_next_request(region: RegionUnderTest, key: Key) -> None:
    ann = region.people.user("ann")
    with pytest.raises(AccessDeniedError, match="no identity-based policy allows the kms:DescribeKey"):
        region.kms.describe_key(call("DescribeKey", ann), key.key_id)
    put(region, key, document(allow(ROOT), allow(ann.principal.arn, "kms:DescribeKey")))
    assert region.kms.describe_key(call("DescribeKey", ann), key.key_id) == key


def test_there_is_one_policy_and_its_name_is_default(region: RegionUnderTest, key: Key) -> None:
    page = region.kms.list_key_policies(call(), key.key_id, limit=1, marker=None)
    assert (page.items, page.next_marker) == (["default"], None)
    with pytest.raises(NotFoundError, match="No such policy exists"):
        region.kms.get_key_policy(call(), key.key_id, "other")
    with pytest.raises(NotFoundError, match="No such policy exists"):
        region.kms.put_key_policy(
            call(), key.key_id, "other", default_key_policy(ACCOUNT), bypasses_lockout_check=False
        )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("{", "Policy", id="no JSON"),
        pytest.param(
            document({"Effect": "Allow", "Action": "kms:*", "Resource": "*"}), "Statement[0]", id="nobody"
        ),
        pytest.param(
            document(allow(ROOT), allow(f"arn:aws:iam::{ACCOUNT}:user/nobody")),
            "Statement[1].Principal",
            id="a user who does not exist",
        ),
        pytest.param(
            document(allow("arn:aws:iam::999999999999:root")), "Statement[0].Principal", id="another account"
        ),
        pytest.param(
            document(allow(ROOT), allow(ROOT) | {"Principal": {"Service": "mail.internal"}}),
            "Statement[1].Principal",
            id="a service",
        ),
        pytest.param(
            document(allow(f"arn:aws:sts::{ACCOUNT}:assumed-role/none/x")),
            "Statement[0].Principal",
            id="a session of no role",
        ),
        pytest.param(document(allow("AIDA00000000000000009")), "Statement[0].Principal", id="a unique id"),
        pytest.param(" " * 32_769, "Policy", id="too long"),
    ],
)
def test_what_is_no_key_policy_is_refused_and_nothing_changes(
    region: RegionUnderTest, key: Key, text: str, place: str
) -> None:
    with pytest.raises(MalformedPolicyDocumentError) as refused:
        put(region, key, text, bypasses=True)
    assert refused.value.place == place
    assert region.kms.get_key_policy(call(), key.key_id, "default") == default_key_policy(ACCOUNT)
    with pytest.raises(MalformedPolicyDocumentError):
        region.kms.create_key(call("CreateKey"), description="", tags=(), policy_text=text)
    assert list(region.hsm.objects) == [key.current_material_id]


def test_nobody_locks_himself_out_by_mistake(region: RegionUnderTest, key: Key) -> None:
    ann = region.people.user("ann")
    only_ann = document(allow(ann.principal.arn))
    with pytest.raises(LockoutError, match="will not allow you to update the key policy in the future"):
        put(region, key, only_ann)
    with pytest.raises(LockoutError):
        region.kms.create_key(call("CreateKey"), description="", tags=(), policy_text=only_ann)
    put(region, key, only_ann, bypasses=True)
    with pytest.raises(AccessDeniedError):
        region.kms.get_key_policy(call(), key.key_id, "default")
    assert region.kms.get_key_policy(call("GetKeyPolicy", ann), key.key_id, "default") == only_ann


def test_the_lockout_check_asks_for_the_caller(region: RegionUnderTest, key: Key) -> None:
    ann = region.people.user("ann", on_any("kms:PutKeyPolicy"))
    put(region, key, document(allow(ROOT, "kms:PutKeyPolicy")), by=ann)
    region.people.user("ben")
    denied = allow(ann.principal.arn) | {"Effect": "Deny"}
    with pytest.raises(LockoutError):
        put(region, key, document(allow(ROOT), denied), by=ann)


def test_the_bypass_is_a_condition_key(region: RegionUnderTest, key: Key) -> None:
    condition = {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "true"}}
    no_bypass = allow("*") | {"Effect": "Deny", "Condition": condition}
    put(region, key, document(allow(ROOT), no_bypass))
    with pytest.raises(AccessDeniedError, match="with an explicit deny in a resource-based policy"):
        put(region, key, default_key_policy(ACCOUNT), bypasses=True)
    put(region, key, default_key_policy(ACCOUNT))


def test_one_who_is_gone_shows_as_a_unique_id_and_is_not_his_namesake(
    region: RegionUnderTest, key: Key
) -> None:
    ann = region.people.user("ann")
    named = document(allow(ROOT), allow([ann.principal.arn, ROOT], "kms:DescribeKey"))
    put(region, key, named)
    region.people.remove(ann)
    shown = json.loads(region.kms.get_key_policy(call(), key.key_id, "default"))
    assert shown["Statement"][1]["Principal"] == {"AWS": [ann.principal.unique_id, ROOT]}
    namesake = region.people.user("ann")
    assert namesake.principal.arn == ann.principal.arn
    with pytest.raises(AccessDeniedError):
        region.kms.describe_key(call("DescribeKey", namesake), key.key_id)
    shown = json.loads(region.kms.get_key_policy(call(), key.key_id, "default"))
    assert shown["Statement"][1]["Principal"] == {"AWS": [ann.principal.unique_id, ROOT]}


def test_tags_at_birth_need_their_own_leave(region: RegionUnderTest) -> None:
    tags = [Tag("Team", "pay")]
    ann = region.people.user("ann", on_any("kms:CreateKey"))
    with pytest.raises(AccessDeniedError, match="kms:TagResource"):
        region.kms.create_key(call("CreateKey", ann), description="", tags=tags)
    ben = region.people.user(
        "ben",
        on_any("kms:CreateKey"),
        on_any("kms:TagResource") | {"Condition": {"StringEquals": {"aws:RequestTag/team": "pay"}}},
    )
    assert region.kms.create_key(call("CreateKey", ben), description="", tags=tags).tags == {"Team": "pay"}


def test_another_account_reads_no_policy_even_where_the_policy_says_so(
    region: RegionUnderTest, key: Key
) -> None:
    put(region, key, document(allow([ROOT, f"arn:aws:iam::{OTHER_ACCOUNT}:root"])))
    arn = region.kms.key_arn(key)
    stranger = root(OTHER_ACCOUNT)
    assert region.kms.describe_key(call("DescribeKey", stranger), arn) == key
    with pytest.raises(AccessDeniedError):
        region.kms.get_key_policy(call("GetKeyPolicy", stranger), arn, "default")


def test_a_right_that_is_taken_away_meanwhile_is_not_given_back(
    region: RegionUnderTest, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = region.people.user("ann")
    put(region, key, document(allow([ROOT, ann.principal.arn])))
    require_no_lockout = type(region.kms).require_no_lockout

    def meanwhile(kms: Any, *arguments: Any) -> None:
        monkeypatch.undo()
        put(region, key, default_key_policy(ACCOUNT))
        require_no_lockout(kms, *arguments)

    monkeypatch.setattr(type(region.kms), "require_no_lockout", meanwhile)
    with pytest.raises(AccessDeniedError):
        put(region, key, document(allow([ROOT, ann.principal.arn])), by=ann)
    assert region.kms.get_key_policy(call(), key.key_id, "default") == default_key_policy(ACCOUNT)
