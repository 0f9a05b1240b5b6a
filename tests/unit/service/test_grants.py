"""Grants: made, found again, listed, used, passed on, retired, revoked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hsmkms.errors import (
    AccessDeniedError,
    DryRunError,
    InvalidArnError,
    InvalidGrantIdError,
    InvalidGrantTokenError,
    KeyDisabledError,
    LimitExceededError,
    NotFoundError,
    ValidationError,
)
from hsmkms.model.keys import Key
from hsmkms.policy.defaults import default_key_policy
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.evaluation import CallerPolicies
from hsmkms.policy.stored import StoredPolicy
from hsmkms.service import grants as grants_module
from hsmkms.service.call import Caller
from hsmkms.service.grants import GrantPlan
from hsmkms.service.results import CreatedGrant
from tests.unit.service.region import ACCOUNT, OTHER_ACCOUNT, RegionUnderTest, call, itself, root, through
from tests.unit.service.test_key_policies import allow, document, on_any, put

Grant = Callable[..., CreatedGrant]
CONTEXT = {"app": "pay", "stage": "test"}


@pytest.fixture
def ann(region: RegionUnderTest) -> Caller:
    return region.people.user("ann")


@pytest.fixture
def grant(region: RegionUnderTest, key: Key) -> Grant:
    def make(
        to: Caller | str, *operations: str, by: Caller | None = None, dry_run: bool = False, **more: Any
    ) -> CreatedGrant:
        grantee = to if isinstance(to, str) else to.principal.arn
        plan = GrantPlan(grantee, operations or ("Encrypt",), **more)
        return region.kms.create_grant(call("CreateGrant", by or root()), key.key_id, plan, dry_run=dry_run)

    return make


def encrypt(region: RegionUnderTest, key: Key, caller: Caller, **context: str) -> bytes:
    asked = call("Encrypt", caller)
    return region.kms.encrypt(asked, region.kms.key_arn(key), b"x", context, dry_run=False).ciphertext_blob


def ids(region: RegionUnderTest, key: Key, **filters: Any) -> list[str]:
    settings = {"grant_id": None, "grantee": None, "grantee_is_service": False, "limit": 100, "marker": None}
    page = region.kms.list_grants(call("ListGrants"), key.key_id, **{**settings, **filters})
    return [shown.grant.grant_id for shown in page.items]


def test_a_grant_allows_at_once_and_only_what_it_says(
    region: RegionUnderTest, key: Key, ann: Caller, grant: Grant
) -> None:
    with pytest.raises(AccessDeniedError):
        encrypt(region, key, ann)
    grant(ann)
    asked = call("Encrypt", ann)
    region.kms.encrypt(asked, key.key_id, b"x", {}, dry_run=False)
    assert asked.additional["decisions"] == [f"kms:Encrypt: grant {ids(region, key)[0]} allows it"]
    with pytest.raises(AccessDeniedError):
        region.kms.describe_key(call("DescribeKey", ann), key.key_id)


def test_a_grant_crosses_accounts(region: RegionUnderTest, key: Key, grant: Grant) -> None:
    carol = region.people.user("carol", account=OTHER_ACCOUNT)
    grant(carol)
    assert encrypt(region, key, carol)


@pytest.mark.parametrize(
    ("constraint", "context", "allowed"),
    [
        pytest.param({"context_equals": CONTEXT}, CONTEXT, True, id="equal"),
        pytest.param({"context_equals": CONTEXT}, {"app": "pay"}, False, id="a pair less"),
        pytest.param({"context_equals": CONTEXT}, {**CONTEXT, "x": "y"}, False, id="a pair more"),
        pytest.param({"context_subset": {"app": "pay"}}, CONTEXT, True, id="within"),
        pytest.param({"context_subset": {"app": "pay"}}, {"app": "other"}, False, id="another value"),
        pytest.param({"context_subset": {"app": "pay"}}, {}, False, id="none"),
        pytest.param({"context_subset": {}}, {}, True, id="an empty subset"),
    ],
)
def test_constraints_hold(
    region: RegionUnderTest,
    key: Key,
    ann: Caller,
    grant: Grant,
    constraint: dict[str, Any],
    context: dict[str, str],
    allowed: bool,
) -> None:
    grant(ann, **constraint)
    if allowed:
        assert encrypt(region, key, ann, **context)
    else:
        with pytest.raises(AccessDeniedError):
            encrypt(region, key, ann, **context)


def test_the_same_call_with_the_same_name_gives_the_same_grant(
    region: RegionUnderTest, key: Key, ann: Caller, grant: Grant
) -> None:
    first, again = grant(ann, name="n"), grant(ann, name="n")
    assert first.grant_id == again.grant_id
    assert first.grant_token != again.grant_token
    others = [grant(ann, "Decrypt", name="n"), grant(ann, name="m"), grant(ann), grant(ann)]
    assert len({first.grant_id, *(other.grant_id for other in others)}) == 5
    assert sorted(ids(region, key)) == sorted({first.grant_id, *(other.grant_id for other in others)})
    for created in (first, again):
        asked = call("Encrypt", ann, grant_tokens=[created.grant_token])
        assert region.kms.encrypt(asked, key.key_id, b"x", {}, dry_run=False)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda token: token[:-4] + "AAA=", id="another mac"),
        pytest.param(lambda token: token + "AAAA", id="longer"),
        pytest.param(lambda _: "AQIDBA==", id="short"),
        pytest.param(lambda _: "no token", id="no base64"),
    ],
)
def test_a_token_that_was_not_issued_is_refused(
    region: RegionUnderTest, key: Key, ann: Caller, grant: Grant, spoil: Callable[[str], str]
) -> None:
    token = spoil(grant(ann).grant_token)
    with pytest.raises(InvalidGrantTokenError):
        region.kms.encrypt(call("Encrypt", ann, grant_tokens=[token]), key.key_id, b"x", {}, dry_run=False)
    with pytest.raises(InvalidGrantTokenError):
        region.kms.retire_grant_of_token(call("RetireGrant"), token, dry_run=False)


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        pytest.param({"grantee": f"arn:aws:iam::{ACCOUNT}:user/none"}, InvalidArnError, id="nobody"),
        pytest.param({"grantee": "arn:aws:iam::999999999999:root"}, InvalidArnError, id="no account"),
        pytest.param({"grantee": "mail.internal"}, InvalidArnError, id="no ARN"),
        pytest.param(
            {"grantee": "mail.internal", "grantee_is_service": True}, InvalidArnError, id="no service"
        ),
        pytest.param({"retiring": "AIDA00000000000000001"}, InvalidArnError, id="retired by a unique id"),
        pytest.param({"operations": ("Encrypt", "Sign")}, ValidationError, id="no operation of this key"),
    ],
)
def test_what_cannot_be_granted_is_refused(
    region: RegionUnderTest, key: Key, ann: Caller, plan: dict[str, Any], error: type[Exception]
) -> None:
    whole = GrantPlan(**{"grantee": ann.principal.arn, "operations": ("Encrypt",), **plan})
    with pytest.raises(error):
        region.kms.create_grant(call("CreateGrant"), key.key_id, whole, dry_run=False)
    assert ids(region, key) == []


def test_a_disabled_key_grants_nothing_but_loses_grants(
    region: RegionUnderTest, key: Key, ann: Caller, grant: Grant
) -> None:
    made = grant(ann)
    region.kms.disable_key(call("DisableKey"), key.key_id)
    with pytest.raises(KeyDisabledError):
        grant(ann)
    assert ids(region, key) == [made.grant_id]
    region.kms.revoke_grant(call("RevokeGrant"), key.key_id, made.grant_id, dry_run=False)
    assert ids(region, key) == []


def test_rehearsals_change_nothing(region: RegionUnderTest, key: Key, ann: Caller, grant: Grant) -> None:
    with pytest.raises(DryRunError):
        grant(ann, dry_run=True)
    made = grant(ann, retiring=ann.principal.arn)
    with pytest.raises(DryRunError):
        region.kms.revoke_grant(call("RevokeGrant"), key.key_id, made.grant_id, dry_run=True)
    with pytest.raises(DryRunError):
        region.kms.retire_grant(call("RetireGrant", ann), key.key_id, made.grant_id, dry_run=True)
    assert ids(region, key) == [made.grant_id]


def test_a_key_has_so_many_grants_and_no_more(
    region: RegionUnderTest, key: Key, ann: Caller, grant: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants_module, "GRANTS_PER_KEY", 2)
    named = grant(ann, name="n")
    grant(ann)
    with pytest.raises(LimitExceededError):
        grant(ann)
    assert grant(ann, name="n").grant_id == named.grant_id
    assert len(ids(region, key)) == 2


def test_grants_are_listed_page_by_page_and_by_filter(
    region: RegionUnderTest, key: Key, ann: Caller, grant: Grant
) -> None:
    ben = region.people.user("ben")
    made = sorted([grant(ann).grant_id, grant(ben).grant_id, grant(ben, "Decrypt").grant_id])
    of_ben = ids(region, key, grantee=ben.principal.arn)
    assert len(of_ben) == 2
    assert ids(region, key, grant_id=made[1]) == [made[1]]
    found: list[str] = []
    marker = None
    while True:
        page = region.kms.list_grants(
            call("ListGrants"),
            key.key_id,
            grant_id=None,
            grantee=None,
            grantee_is_service=False,
            limit=2,
            marker=marker,
        )
        found += [shown.grant.grant_id for shown in page.items]
        marker = page.next_marker
        if marker is None:
            break
    assert found == made
    with pytest.raises(InvalidGrantIdError):
        ids(region, key, grant_id="nonsense")
    with pytest.raises(InvalidArnError):
        ids(region, key, grantee=f"arn:aws:iam::{ACCOUNT}:user/none")


def test_one_who_is_gone_shows_as_a_unique_id_and_his_namesake_has_no_grant(
    region: RegionUnderTest, key: Key, ann: Caller, grant: Grant
) -> None:
    grant(ann, retiring=ann.principal.arn)
    region.people.remove(ann)
    namesake = region.people.user("ann")
    with pytest.raises(AccessDeniedError):
        encrypt(region, key, namesake)
    (shown,) = region.kms.list_grants(
        call(),
        key.key_id,
        grant_id=None,
        grantee=None,
        grantee_is_service=False,
        limit=10,
        marker=None,
    ).items
    assert (shown.grantee, shown.retiring) == (ann.principal.unique_id,) * 2


# --- passing on --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "offered", "allowed"),
    [
        pytest.param({}, {"operations": ("Encrypt",)}, True, id="fewer operations"),
        pytest.param({}, {"operations": ("Encrypt", "CreateGrant")}, True, id="the same operations"),
        pytest.param({}, {"operations": ("Decrypt",)}, False, id="another operation"),
        pytest.param({"context_subset": {"a": "1"}}, {}, False, id="the constraint dropped"),
        pytest.param(
            {"context_subset": {"a": "1"}},
            {"context_subset": {"a": "1", "b": "2"}},
            True,
            id="a narrower subset",
        ),
        pytest.param(
            {"context_subset": {"a": "1"}}, {"context_equals": {"a": "1"}}, True, id="a subset made equal"
        ),
        pytest.param(
            {"context_subset": {"a": "1"}}, {"context_subset": {"b": "2"}}, False, id="another subset"
        ),
        pytest.param(
            {"context_equals": {"a": "1"}}, {"context_equals": {"a": "1"}}, True, id="the same equality"
        ),
        pytest.param(
            {"context_equals": {"a": "1"}}, {"context_subset": {"a": "1"}}, False, id="equality made a subset"
        ),
    ],
)
def test_a_grantee_passes_on_no_more_than_he_has(
    region: RegionUnderTest,
    key: Key,
    ann: Caller,
    grant: Grant,
    held: dict[str, Any],
    offered: dict[str, Any],
    allowed: bool,
) -> None:
    ben = region.people.user("ben")
    grant(ann, "Encrypt", "CreateGrant", **held)
    operations = offered.pop("operations", ("Encrypt",)) if "operations" in offered else ("Encrypt",)
    if allowed:
        made = grant(ben, *operations, by=ann, **offered)
        assert made.grant_id in ids(region, key)
    else:
        with pytest.raises(AccessDeniedError):
            grant(ben, *operations, by=ann, **offered)


# --- retiring and revoking ---------------------------------------------------------------------------------


def test_who_may_retire(region: RegionUnderTest, key: Key, ann: Caller, grant: Grant) -> None:
    ben, carol = region.people.user("ben"), region.people.user("carol", on_any("kms:RetireGrant"))

    def retires(who: Caller, *operations: str, **more: Any) -> bool:
        made = grant(ann, *operations, **more)
        try:
            region.kms.retire_grant(call("RetireGrant", who), key.key_id, made.grant_id, dry_run=False)
        except AccessDeniedError:
            assert made.grant_id in ids(region, key)
            return False
        assert made.grant_id not in ids(region, key)
        return True

    assert retires(root())
    assert retires(ben, retiring=ben.principal.arn)
    assert retires(ann, "RetireGrant")
    assert not retires(ann, "Encrypt")
    assert not retires(ben, "Encrypt")
    assert not retires(carol, "Encrypt"), "an identity policy gives no right to retire"
    assert not retires(ben, "Encrypt", retiring=f"arn:aws:iam::{ACCOUNT}:root"), "the root alone"


def test_a_policy_may_forbid_to_retire(region: RegionUnderTest, key: Key, ann: Caller, grant: Grant) -> None:
    made = grant(ann, retiring=ann.principal.arn)
    deny = allow(ann.principal.arn, "kms:RetireGrant") | {"Effect": "Deny"}
    put(region, key, document(allow(f"arn:aws:iam::{ACCOUNT}:root"), deny))
    with pytest.raises(AccessDeniedError, match="explicit deny in a resource-based policy"):
        region.kms.retire_grant_of_token(call("RetireGrant", ann), made.grant_token, dry_run=False)
    put(region, key, default_key_policy(ACCOUNT))
    region.kms.retire_grant_of_token(call("RetireGrant", ann), made.grant_token, dry_run=False)
    assert ids(region, key) == []
    with pytest.raises(InvalidGrantTokenError):
        region.kms.retire_grant_of_token(call("RetireGrant", ann), made.grant_token, dry_run=False)


def test_strangers_learn_nothing_of_grants(
    region: RegionUnderTest, key: Key, ann: Caller, grant: Grant
) -> None:
    made = grant(ann)
    arn = region.kms.key_arn(key)
    said = set()
    for grant_id in (made.grant_id, "0" * 64):
        with pytest.raises(AccessDeniedError) as refused:
            region.kms.retire_grant(call("RetireGrant", root(OTHER_ACCOUNT)), arn, grant_id, dry_run=False)
        said.add(str(refused.value))
    assert len(said) == 1


def test_revoked_is_gone_at_once(region: RegionUnderTest, key: Key, ann: Caller, grant: Grant) -> None:
    made = grant(ann)
    assert encrypt(region, key, ann)
    with pytest.raises(AccessDeniedError):
        region.kms.revoke_grant(call("RevokeGrant", ann), key.key_id, made.grant_id, dry_run=False)
    region.kms.revoke_grant(call("RevokeGrant"), key.key_id, made.grant_id, dry_run=False)
    with pytest.raises(AccessDeniedError):
        encrypt(region, key, ann)
    with pytest.raises(NotFoundError, match=f"Grant ID {made.grant_id} not found"):
        region.kms.revoke_grant(call("RevokeGrant"), key.key_id, made.grant_id, dry_run=False)
    with pytest.raises(InvalidGrantIdError):
        region.kms.revoke_grant(call("RevokeGrant"), key.key_id, "g", dry_run=False)


def test_a_grant_of_another_key_is_not_found(
    region: RegionUnderTest, key: Key, ann: Caller, grant: Grant
) -> None:
    made = grant(ann)
    other = region.kms.create_key(call("CreateKey"), description="", tags=())
    with pytest.raises(NotFoundError):
        region.kms.revoke_grant(call("RevokeGrant"), other.key_id, made.grant_id, dry_run=False)
    with pytest.raises(NotFoundError):
        region.kms.retire_grant(call("RetireGrant"), other.key_id, made.grant_id, dry_run=False)
    assert ids(region, key) == [made.grant_id]


def test_retirable_grants_of_all_keys_by_their_retiring_principal(
    region: RegionUnderTest, key: Key, ann: Caller, grant: Grant
) -> None:
    ben = region.people.user("ben", on_any("kms:ListRetirableGrants"))
    grant(ann)
    retirable = grant(ann, retiring=ben.principal.arn)
    page = region.kms.list_retirable_grants(
        call("ListRetirableGrants", ben),
        ben.principal.arn,
        retiring_is_service=False,
        limit=10,
        marker=None,
    )
    assert [shown.grant.grant_id for shown in page.items] == [retirable.grant_id]
    assert page.items[0].key_arn == region.kms.key_arn(key)
    for caller, named in ((ann, ben.principal.arn), (root(OTHER_ACCOUNT), ben.principal.arn)):
        with pytest.raises(AccessDeniedError):
            region.kms.list_retirable_grants(
                call("ListRetirableGrants", caller),
                named,
                retiring_is_service=False,
                limit=10,
                marker=None,
            )


# --- services and conditions -------------------------------------------------------------------------------


def test_a_grant_to_a_service_may_be_for_one_resource(
    region: RegionUnderTest, key: Key, grant: Grant
) -> None:
    storage = region.people.service("storage.internal", "storage")
    bucket = f"arn:aws:s3:eu-west-1:{ACCOUNT}:bucket/pay"
    grant("storage.internal", grantee_is_service=True, source_arn=bucket)
    with pytest.raises(AccessDeniedError):
        encrypt(region, key, itself(storage))
    with pytest.raises(AccessDeniedError):
        encrypt(region, key, itself(storage, source_arn=bucket + "x"))
    assert encrypt(region, key, itself(storage, source_arn=bucket))


def test_grants_for_services_alone(region: RegionUnderTest, key: Key, ann: Caller, grant: Grant) -> None:
    storage = region.people.service("storage.internal", "storage")
    condition = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    put(
        region,
        key,
        document(
            allow(f"arn:aws:iam::{ACCOUNT}:root"), allow(ann.principal.arn, "kms:CreateGrant", **condition)
        ),
    )
    with pytest.raises(AccessDeniedError):
        grant(ann, by=ann)
    assert grant(ann, by=through(storage, ann))


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"ForAllValues:StringEquals": {"kms:GrantOperations": ["Encrypt", "Decrypt"]}}, True),
        ({"ForAllValues:StringEquals": {"kms:GrantOperations": ["Decrypt"]}}, False),
        ({"StringEquals": {"kms:GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:user/ben"}}, True),
        ({"StringEquals": {"kms:GranteePrincipal": f"arn:aws:iam::{ACCOUNT}:user/ann"}}, False),
        ({"StringLike": {"kms:RetiringPrincipal": "*:user/ann"}}, True),
        ({"StringEquals": {"kms:GrantConstraintType": "EncryptionContextSubset"}}, True),
        ({"StringEquals": {"kms:GrantConstraintType": "EncryptionContextEquals"}}, False),
    ],
)
def test_conditions_on_what_is_granted(
    region: RegionUnderTest,
    key: Key,
    ann: Caller,
    grant: Grant,
    condition: dict[str, Any],
    allowed: bool,
) -> None:
    ben = region.people.user("ben")
    put(
        region,
        key,
        document(
            allow(f"arn:aws:iam::{ACCOUNT}:root"), allow(ann.principal.arn, "kms:CreateGrant", **condition)
        ),
    )
    more = {"retiring": ann.principal.arn, "context_subset": {"a": "b"}}
    if allowed:
        assert grant(ben, by=ann, **more)
    else:
        with pytest.raises(AccessDeniedError):
            grant(ben, by=ann, **more)


# --- what a hostile review found ---------------------------------------------------------------------------


def test_grants_of_services_are_listed_to_no_account(region: RegionUnderTest, grant: Grant) -> None:
    region.people.service("storage.internal", "storage")
    grant("storage.internal", grantee_is_service=True, retiring="storage.internal", retiring_is_service=True)
    with pytest.raises(AccessDeniedError):
        region.kms.list_retirable_grants(
            call("ListRetirableGrants", root(OTHER_ACCOUNT)),
            "storage.internal",
            retiring_is_service=True,
            limit=10,
            marker=None,
        )


def test_the_resource_of_list_retirable_grants_is_the_principal(region: RegionUnderTest) -> None:
    target = region.people.user("target")
    deny = {"Effect": "Deny", "Action": "kms:*", "Resource": target.principal.arn}
    ann = region.people.user("ann2", on_any("kms:ListRetirableGrants"), deny)
    with pytest.raises(AccessDeniedError, match="explicit deny"):
        region.kms.list_retirable_grants(
            call("ListRetirableGrants", ann),
            target.principal.arn,
            retiring_is_service=False,
            limit=10,
            marker=None,
        )


@pytest.mark.parametrize(
    ("condition", "plan"),
    [
        ({"kms:EncryptionContext:dept": "secret"}, {"context_equals": {"Dept": "secret"}}),
        ({"kms:EncryptionContext:dept": "secret"}, {"context_subset": {"dept": "secret"}}),
        ({"kms:EncryptionContextKeys": "dept"}, {"context_subset": {"dept": "x"}}),
        ({"kms:GranteeServicePrincipal": "storage.internal"}, {"grantee_is_service": True}),
        (
            {"kms:RetiringServicePrincipal": "storage.internal"},
            {"retiring": "storage.internal", "retiring_is_service": True},
        ),
        (
            {"kms:GrantConstraintSourceArn": "arn:aws:s3:::b"},
            {"grantee_is_service": True, "source_arn": "arn:aws:s3:::b"},
        ),
    ],
)
def test_a_deny_on_what_is_granted(
    region: RegionUnderTest,
    key: Key,
    ann: Caller,
    grant: Grant,
    condition: dict[str, str],
    plan: dict[str, Any],
) -> None:
    region.people.service("storage.internal", "storage")
    deny = allow("*", "kms:CreateGrant", StringEquals=condition) | {"Effect": "Deny"}
    put(region, key, document(allow(f"arn:aws:iam::{ACCOUNT}:root"), deny))
    with pytest.raises(AccessDeniedError, match="explicit deny in a resource-based policy"):
        grant("storage.internal" if plan.get("grantee_is_service") else ann, **plan)


def test_a_deny_on_what_is_retired(region: RegionUnderTest, key: Key, ann: Caller, grant: Grant) -> None:
    made = grant(ann, context_equals={"dept": "secret"}, retiring=ann.principal.arn)
    condition = {"kms:EncryptionContext:dept": "secret"}
    deny = allow("*", "kms:RetireGrant", StringEquals=condition) | {"Effect": "Deny"}
    put(region, key, document(allow(f"arn:aws:iam::{ACCOUNT}:root"), deny))
    with pytest.raises(AccessDeniedError):
        region.kms.retire_grant(call("RetireGrant", ann), key.key_id, made.grant_id, dry_run=False)


def test_a_session_policy_limits_retiring_too(region: RegionUnderTest, key: Key, grant: Grant) -> None:
    run = region.people.session("app")
    made = grant(f"arn:aws:iam::{ACCOUNT}:role/app", retiring=f"arn:aws:iam::{ACCOUNT}:role/app")
    limited = replace(run, own=CallerPolicies((), _session(on_any("kms:Encrypt"))))
    with pytest.raises(AccessDeniedError, match="no session policy allows the kms:RetireGrant action"):
        region.kms.retire_grant(call("RetireGrant", limited), key.key_id, made.grant_id, dry_run=False)
    region.kms.retire_grant(call("RetireGrant", run), key.key_id, made.grant_id, dry_run=False)


def _session(*statements: dict[str, Any]) -> tuple[StoredPolicy, ...]:
    return (StoredPolicy(PolicyKind.SESSION, document(*statements)),)


def test_a_grant_that_is_revoked_meanwhile_leaves_no_child(
    region: RegionUnderTest, key: Key, ann: Caller, grant: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    ben = region.people.user("ben")
    parent = grant(ann, "Encrypt", "CreateGrant")
    require_state = type(region.kms).require_state

    def meanwhile(kms: Any, action: Any, found: Key) -> None:
        monkeypatch.undo()
        region.kms.revoke_grant(call("RevokeGrant"), key.key_id, parent.grant_id, dry_run=False)
        require_state(kms, action, found)

    monkeypatch.setattr(type(region.kms), "require_state", meanwhile)
    with pytest.raises(AccessDeniedError):
        grant(ben, by=ann)
    assert ids(region, key) == []
