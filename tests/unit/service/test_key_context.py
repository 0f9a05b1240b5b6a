"""What conditions see of a call about a key; one line for each condition key that there is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from hsmkms.errors import AccessDeniedError, TagError
from hsmkms.model.keys import Key, KeyOrigin, KeySpec, KeyState, KeyUsage, Tag
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.service.key_context import KeyContext, Particulars
from tests.unit.service.region import ACCOUNT, OTHER_ACCOUNT, REGION, RegionUnderTest, call
from tests.unit.service.test_key_policies import allow, document, put

KEY: Final = Key(
    account=ACCOUNT,
    key_id=KeyId("1234abcd-12ab-34cd-56ef-1234567890ab"),
    state=KeyState.ENABLED,
    description="",
    key_spec=KeySpec.SYMMETRIC_DEFAULT,
    key_usage=KeyUsage.ENCRYPT_DECRYPT,
    origin=KeyOrigin.AWS_KMS,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    current_material_id=MaterialId(b"m" * 16),
    tags={"Team": "pay"},
    aliases=frozenset({"alias/b", "alias/a"}),
)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("kms:keyspec", ("SYMMETRIC_DEFAULT",)),
        ("kms:customermasterkeyspec", ("SYMMETRIC_DEFAULT",)),
        ("kms:keyusage", ("ENCRYPT_DECRYPT",)),
        ("kms:customermasterkeyusage", ("ENCRYPT_DECRYPT",)),
        ("kms:keyorigin", ("AWS_KMS",)),
        ("kms:multiregion", ("false",)),
        ("kms:resourcealiases", ("alias/a", "alias/b")),
        ("kms:requestalias", ("alias/a",)),
        ("kms:encryptioncontext:app", ("pay",)),
        ("kms:encryptioncontext:none", None),
        ("kms:encryptioncontextkeys", ("App", "stage")),
        ("kms:encryptionalgorithm", ("SYMMETRIC_DEFAULT",)),
        ("kms:calleraccount", (ACCOUNT,)),
        ("kms:viaservice", None),
        ("kms:nosuchkey", None),
        ("aws:resourcetag/team", ("pay",)),
        ("aws:resourcetag/none", None),
        ("aws:principalarn", (f"arn:aws:iam::{ACCOUNT}:root",)),
        ("aws:multifactorauthpresent", None),
    ],
)
def test_what_a_condition_key_says(name: str, values: tuple[str, ...] | None) -> None:
    particulars = Particulars(
        {"App": "pay", "stage": "x"}, {"kms:encryptionalgorithm": ("SYMMETRIC_DEFAULT",)}
    )
    assert KeyContext(call(), KEY, particulars, "alias/a").get(name) == values


@pytest.mark.parametrize(
    "name", ["kms:resourcealiases", "kms:encryptioncontextkeys", "aws:resourcetag/team", "kms:requestalias"]
)
def test_what_is_not_there_is_absent_and_not_empty(name: str) -> None:
    bare = replace(KEY, tags={}, aliases=frozenset())
    assert KeyContext(call(), bare, Particulars({})).get(name) is None
    assert KeyContext(call(), None, Particulars()).get(name) is None


# --- through the verbs: each says what it is about ---------------------------------------------------------

CONTEXT = {"app": "pay"}


def _encrypt(region: RegionUnderTest, caller: Any, key_ref: str, **context: str) -> bytes:
    asked = call("Encrypt", caller)
    return region.kms.encrypt(asked, key_ref, b"x", context, dry_run=False).ciphertext_blob


@pytest.mark.parametrize(
    ("conditions", "context", "by_alias", "allowed"),
    [
        ({"StringEquals": {"kms:EncryptionContext:app": "pay"}}, CONTEXT, False, True),
        ({"StringEquals": {"kms:EncryptionContext:app": "pay"}}, {"app": "x"}, False, False),
        ({"StringEquals": {"kms:EncryptionContext:app": "pay"}}, {}, False, False),
        ({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": "app"}}, CONTEXT, False, True),
        ({"Null": {"kms:EncryptionContextKeys": "true"}}, {}, False, True),
        ({"Null": {"kms:EncryptionContextKeys": "true"}}, CONTEXT, False, False),
        ({"StringEquals": {"kms:RequestAlias": "alias/app"}}, {}, True, True),
        ({"StringEquals": {"kms:RequestAlias": "alias/app"}}, {}, False, False),
        ({"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/a*"}}, {}, False, True),
        ({"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/b*"}}, {}, False, False),
        ({"StringEquals": {"aws:ResourceTag/Team": "pay"}}, {}, False, True),
        ({"StringEquals": {"aws:ResourceTag/Team": "ops"}}, {}, False, False),
        ({"StringEquals": {"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}}, {}, False, True),
        ({"StringEquals": {"kms:EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}}, {}, False, False),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, {}, False, True),
        ({"DateLessThan": {"aws:CurrentTime": "2026-11-24T12:00:01Z"}}, {}, False, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, {}, False, False),
        ({"StringEquals": {"aws:username": "ann"}}, {}, False, True),
    ],
)
def test_encrypt_under_a_condition(
    region: RegionUnderTest,
    conditions: dict[str, Any],
    context: dict[str, str],
    by_alias: bool,
    allowed: bool,
) -> None:
    key = region.kms.create_key(call(), description="", tags=[Tag("Team", "pay")])
    region.kms.create_alias(call(), "alias/app", key.key_id)
    ann = region.people.user("ann")
    root = f"arn:aws:iam::{ACCOUNT}:root"
    put(region, key, document(allow(root), allow(ann.principal.arn, "kms:Encrypt", **conditions)))
    key_ref = "alias/app" if by_alias else key.key_id
    if allowed:
        assert _encrypt(region, ann, key_ref, **context)
    else:
        with pytest.raises(AccessDeniedError):
            _encrypt(region, ann, key_ref, **context)


@pytest.mark.parametrize("same", [True, False])
def test_re_encrypt_on_the_same_key(region: RegionUnderTest, same: bool) -> None:
    one, other = (region.kms.create_key(call(), description="", tags=()) for _ in range(2))
    ann = region.people.user("ann")
    root = f"arn:aws:iam::{ACCOUNT}:root"
    condition = {"Bool": {"kms:ReEncryptOnSameKey": "true"}}
    for key in (one, other):
        put(region, key, document(allow(root), allow(ann.principal.arn, "kms:ReEncrypt*", **condition)))
    region.kms.create_alias(call(), "alias/one", one.key_id)
    blob = _encrypt(region, ACCOUNT, one.key_id)

    def re_encrypt(destination: str) -> str:
        return region.kms.re_encrypt(
            call("ReEncrypt", ann),
            blob,
            source_key_ref=None,
            source_context={},
            destination_key_ref=destination,
            destination_context={},
            dry_run=False,
        ).destination_key_arn

    if same:
        assert re_encrypt(one.key_id) == re_encrypt("alias/one") == region.kms.key_arn(one)
    else:
        with pytest.raises(AccessDeniedError):
            re_encrypt(other.key_id)


def test_tags_that_a_request_brings(region: RegionUnderTest, key: Key) -> None:
    ann = region.people.user("ann")
    root = f"arn:aws:iam::{ACCOUNT}:root"
    only_stage = {"ForAllValues:StringEquals": {"aws:TagKeys": ["stage"]}}
    put(region, key, document(allow(root), allow(ann.principal.arn, "kms:*agResource", **only_stage)))
    region.kms.tag_resource(call("TagResource", ann), key.key_id, [Tag("stage", "x")])
    region.kms.untag_resource(call("UntagResource", ann), key.key_id, ["stage"])
    with pytest.raises(AccessDeniedError):
        region.kms.tag_resource(call("TagResource", ann), key.key_id, [Tag("team", "x")])
    with pytest.raises(AccessDeniedError):
        region.kms.untag_resource(call("UntagResource", ann), key.key_id, ["stage", "team"])


def test_a_tag_counts_at_once_for_attribute_based_access(region: RegionUnderTest, key: Key) -> None:
    ann = replace(region.people.user("ann"), tags={"team": "pay"})
    root = f"arn:aws:iam::{ACCOUNT}:root"
    same_team = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    put(region, key, document(allow(root), allow(ann.principal.arn, "kms:Encrypt", **same_team)))
    with pytest.raises(AccessDeniedError):
        _encrypt(region, ann, key.key_id)
    region.kms.tag_resource(call("TagResource"), key.key_id, [Tag("team", "pay")])
    assert _encrypt(region, ann, key.key_id)


def test_one_tag_does_not_hide_another_from_a_deny(region: RegionUnderTest, key: Key) -> None:
    deny = {"StringEquals": {"aws:RequestTag/Team": "admin"}}
    root = f"arn:aws:iam::{ACCOUNT}:root"
    put(region, key, document(allow(root), allow("*", "kms:TagResource", **deny) | {"Effect": "Deny"}))
    with pytest.raises(TagError, match="Duplicate tag keys"):
        region.kms.tag_resource(call("TagResource"), key.key_id, [Tag("Team", "admin"), Tag("team", "x")])
    with pytest.raises(TagError, match="Too many tags"):
        region.kms.tag_resource(call("TagResource"), key.key_id, [Tag(str(n), "") for n in range(51)])


def test_ones_own_deny_tells_nothing_of_another_accounts_key(region: RegionUnderTest) -> None:
    tagged, plain = (
        region.kms.create_key(call(), description="", tags=[Tag("Owner", owner)]) for owner in ("x", "y")
    )
    asks = {"StringEquals": {"aws:ResourceTag/Owner": "x"}}
    curious = region.people.user(
        "curious",
        {"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "kms:*", "Resource": "*", "Condition": asks},
        account=OTHER_ACCOUNT,
    )
    said = set()
    for key_id in (tagged.key_id, plain.key_id, "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(AccessDeniedError) as refused:
            region.kms.describe_key(
                call("DescribeKey", curious), f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key_id}"
            )
        said.add(str(refused.value).replace(key_id, "KEY"))
    assert len(said) == 1
