"""Three kinds of master key. Each test is a cell of the table in the issue, and of docs/services.md.

Rotation and deletion are verbs of a later slice: here stands that nobody but the owner may ask for them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hsmkms.errors import (
    AccessDeniedError,
    DryRunError,
    InvalidAliasNameError,
    NotFoundError,
)
from hsmkms.model.actions import Action
from hsmkms.model.identities import Service
from hsmkms.model.keys import Alias, Key, KeyManager
from hsmkms.model.names import OPERATOR_ACCOUNT
from hsmkms.policy.defaults import default_key_policy, service_managed_key_policy
from hsmkms.service.call import Caller, WouldBlockSignal
from hsmkms.service.grants import GrantPlan
from tests.unit.service.region import (
    ACCOUNT,
    OTHER_ACCOUNT,
    REGION,
    RegionUnderTest,
    build_region,
    call,
    itself,
    root,
    through,
)
from tests.unit.service.test_key_policies import allow, document, on_any, put

ALIAS = "alias/aws/storage"


@pytest.fixture
def storage(region: RegionUnderTest) -> Service:
    return region.people.service("storage.internal", "storage")


@pytest.fixture
def mail(region: RegionUnderTest) -> Service:
    return region.people.service("mail.internal", "mail")


@pytest.fixture
def ann(region: RegionUnderTest) -> Caller:
    return region.people.user("ann")


def encrypt(region: RegionUnderTest, caller: Caller, key_ref: str) -> bytes:
    return region.kms.encrypt(call("Encrypt", caller), key_ref, b"x", {}, dry_run=False).ciphertext_blob


def decrypt(region: RegionUnderTest, caller: Caller, blob: bytes) -> bytes:
    asked = call("Decrypt", caller)
    return region.kms.decrypt(asked, blob, {}, key_ref=None, dry_run=False).plaintext


def described(region: RegionUnderTest, key_ref: str, caller: Caller | None = None) -> Key:
    return region.kms.describe_key(call("DescribeKey", caller or root()), key_ref)


# --- made --------------------------------------------------------------------------------------------------


def test_customer_managed_is_made_by_the_customer(region: RegionUnderTest) -> None:
    made = region.kms.create_key(call("CreateKey"), description="", tags=())
    assert (made.manager, made.service, made.account) == (KeyManager.CUSTOMER, None, ACCOUNT)


def test_service_managed_is_made_on_first_use(region: RegionUnderTest, storage: Service, ann: Caller) -> None:
    with pytest.raises(NotFoundError):
        described(region, ALIAS)
    blob = encrypt(region, through(storage, ann), ALIAS)
    made = described(region, ALIAS)
    assert (made.manager, made.service, made.account) == (KeyManager.SERVICE, storage.name, ACCOUNT)
    assert made.aliases == {ALIAS}
    assert decrypt(region, through(storage, ann), blob) == b"x"
    encrypt(region, through(storage, root()), ALIAS)
    assert len(region.hsm.objects) == 1


def test_each_account_has_its_own(region: RegionUnderTest, storage: Service, ann: Caller) -> None:
    carol = region.people.user("carol", account=OTHER_ACCOUNT)
    encrypt(region, through(storage, ann), ALIAS)
    encrypt(region, through(storage, carol), ALIAS)
    assert described(region, ALIAS).account == ACCOUNT
    assert described(region, ALIAS, root(OTHER_ACCOUNT)).account == OTHER_ACCOUNT
    assert len(region.hsm.objects) == 2


@pytest.mark.parametrize("who", ["the account", "another service", "the service itself"])
def test_nobody_else_uses_it_first(
    region: RegionUnderTest, storage: Service, mail: Service, ann: Caller, who: str
) -> None:
    caller = {
        "the account": root(),
        "another service": through(mail, ann),
        "the service itself": itself(storage),
    }[who]
    with pytest.raises((NotFoundError, AccessDeniedError)):
        encrypt(region, caller, ALIAS)
    assert region.hsm.objects == {}


def test_a_first_use_is_no_decrypt(region: RegionUnderTest, storage: Service, ann: Caller) -> None:
    blob = encrypt(region, root(), region.kms.create_key(call(), description="", tags=()).key_id)
    with pytest.raises(NotFoundError):
        region.kms.decrypt(call("Decrypt", through(storage, ann)), blob, {}, key_ref=ALIAS, dry_run=False)
    assert len(region.hsm.objects) == 1


def test_a_first_use_waits_where_waiting_is_allowed(
    region: RegionUnderTest, storage: Service, ann: Caller
) -> None:
    with pytest.raises(WouldBlockSignal):
        region.kms.encrypt(
            call("Encrypt", through(storage, ann), may_block=False), ALIAS, b"x", {}, dry_run=False
        )
    assert region.hsm.objects == {}


def test_of_two_first_uses_at_once_one_key_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    region = build_region(tmp_path)
    storage, ann = region.people.service("storage.internal", "storage"), region.people.user("ann")
    made_by_another: list[Key] = []
    create_material = region.hsm.create_material

    def meanwhile(*arguments: object) -> bytes:
        check_value: bytes = create_material(*arguments)  # type: ignore[arg-type]  # passed on as they came
        if len(region.hsm.objects) == 1:
            made_by_another.append(region.kms.create_key(call("CreateKey"), description="", tags=()))
            now = region.clock.now()
            with region.keys.change() as change:
                change.add_alias(Alias(ACCOUNT, ALIAS, made_by_another[0].key_id, now, now))
        return check_value

    monkeypatch.setattr(region.hsm, "create_material", meanwhile)
    with pytest.raises(AccessDeniedError):
        # The other one's key here is an ordinary one, so that one sees which key was taken.
        encrypt(region, through(storage, ann), ALIAS)
    assert list(region.hsm.objects) == [made_by_another[0].current_material_id]
    assert region.keys.unfinished_versions(region.clock.now()) == []


def test_service_owned_is_made_by_the_operator(region: RegionUnderTest, storage: Service) -> None:
    made = region.kms.create_service_owned_key(storage.name, "for all")
    assert (made.manager, made.service) == (KeyManager.OWNER, storage.name)
    assert made.account == OPERATOR_ACCOUNT
    with pytest.raises(NotFoundError):
        region.kms.create_service_owned_key("none.internal", "")


# --- seen --------------------------------------------------------------------------------------------------


def test_the_account_sees_its_own_and_the_service_managed_ones(
    region: RegionUnderTest, key: Key, storage: Service, ann: Caller
) -> None:
    owned = region.kms.create_service_owned_key(storage.name, "")
    encrypt(region, through(storage, ann), ALIAS)
    managed = described(region, ALIAS)
    listed = region.kms.list_keys(call("ListKeys"), limit=10, marker=None).items
    assert sorted(listed) == sorted([key.key_id, managed.key_id])
    aliases = region.kms.list_aliases(call("ListAliases"), key_ref=None, limit=10, marker=None).items
    assert [alias.name for alias in aliases] == [ALIAS]
    assert owned.key_id not in listed


def test_a_service_owned_key_is_not_even_there(
    region: RegionUnderTest, storage: Service, mail: Service, ann: Caller
) -> None:
    owned = region.kms.create_service_owned_key(storage.name, "")
    arn = region.kms.key_arn(owned)
    absent = arn[:-1] + ("0" if arn[-1] != "0" else "1")
    blob = encrypt(region, itself(storage), arn)
    for caller in (root(), ann, through(mail, ann), itself(mail, ACCOUNT)):
        said = []
        for key_ref in (arn, absent):
            with pytest.raises(AccessDeniedError) as refused:
                described(region, key_ref, caller)
            said.append(str(refused.value).replace(key_ref, "ARN"))
        assert said[0] == said[1]
        with pytest.raises(AccessDeniedError, match="does not exist"):
            decrypt(region, caller, blob)


# --- managed -----------------------------------------------------------------------------------------------


MANAGING: list[tuple[str, Callable[[RegionUnderTest, Caller, str], object]]] = [
    ("disable", lambda region, by, key: region.kms.disable_key(call("DisableKey", by), key)),
    ("enable", lambda region, by, key: region.kms.enable_key(call("EnableKey", by), key)),
    (
        "describe anew",
        lambda region, by, key: region.kms.update_key_description(
            call("UpdateKeyDescription", by), key, "mine"
        ),
    ),
    ("tag", lambda region, by, key: region.kms.tag_resource(call("TagResource", by), key, [])),
    (
        "put a policy",
        lambda region, by, key: region.kms.put_key_policy(
            call("PutKeyPolicy", by),
            key,
            "default",
            default_key_policy(ACCOUNT),
            bypasses_lockout_check=True,
        ),
    ),
    ("name", lambda region, by, key: region.kms.create_alias(call("CreateAlias", by), "alias/mine", key)),
    (
        "grant",
        lambda region, by, key: region.kms.create_grant(
            call("CreateGrant", by),
            key,
            GrantPlan(f"arn:aws:iam::{ACCOUNT}:root", ["Encrypt"]),
            dry_run=False,
        ),
    ),
]


@pytest.mark.parametrize(("name", "manage"), [pytest.param(*case, id=case[0]) for case in MANAGING])
@pytest.mark.parametrize("kind", ["customer", "service", "owner"])
def test_only_a_customer_managed_key_is_managed_by_the_account(
    region: RegionUnderTest,
    key: Key,
    storage: Service,
    ann: Caller,
    kind: str,
    name: str,
    manage: Callable[[RegionUnderTest, Caller, str], object],
) -> None:
    del name
    if kind == "customer":
        manage(region, root(), key.key_id)
        return
    if kind == "service":
        encrypt(region, through(storage, ann), ALIAS)
        arn = region.kms.key_arn(described(region, ALIAS))
    else:
        arn = region.kms.key_arn(region.kms.create_service_owned_key(storage.name, ""))
    for caller in (root(), region.people.user("admin", on_any())):
        with pytest.raises(AccessDeniedError):
            manage(region, caller, arn)


def test_a_reserved_alias_is_neither_given_nor_taken(
    region: RegionUnderTest, key: Key, storage: Service, ann: Caller
) -> None:
    with pytest.raises(InvalidAliasNameError, match="reserved"):
        region.kms.create_alias(call("CreateAlias"), ALIAS, key.key_id)
    encrypt(region, through(storage, ann), ALIAS)
    with pytest.raises(AccessDeniedError):
        region.kms.delete_alias(call("DeleteAlias"), ALIAS)
    with pytest.raises(InvalidAliasNameError):
        region.kms.update_alias(call("UpdateAlias"), ALIAS, key.key_id)


# --- policy ------------------------------------------------------------------------------------------------


def test_a_service_managed_keys_policy_is_there_to_read(
    region: RegionUnderTest, storage: Service, ann: Caller
) -> None:
    encrypt(region, through(storage, ann), ALIAS)
    key_id = described(region, ALIAS).key_id
    shown = region.kms.get_key_policy(call("GetKeyPolicy"), key_id, "default")
    assert shown == service_managed_key_policy(ACCOUNT, storage.name)


def test_a_service_owned_keys_policy_is_not(region: RegionUnderTest, storage: Service) -> None:
    arn = region.kms.key_arn(region.kms.create_service_owned_key(storage.name, ""))
    for caller in (root(), itself(storage)):
        with pytest.raises(AccessDeniedError):
            region.kms.get_key_policy(call("GetKeyPolicy", caller), arn, "default")


# --- rotation and deletion: nobody's but the owner's ------------------------------------------------------


@pytest.mark.parametrize(
    "action",
    [
        Action.SCHEDULE_KEY_DELETION,
        Action.ENABLE_KEY_ROTATION,
        Action.DISABLE_KEY_ROTATION,
        Action.ROTATE_KEY_ON_DEMAND,
    ],
)
def test_the_account_neither_rotates_nor_deletes_what_is_not_its_own(
    region: RegionUnderTest, key: Key, storage: Service, ann: Caller, action: Action
) -> None:
    region.kms.require_allowed(call(action, root()), action, key)
    encrypt(region, through(storage, ann), ALIAS)
    managed = described(region, ALIAS)
    owned = region.kms.create_service_owned_key(storage.name, "")
    for other in (managed, owned):
        for caller in (root(), region.people.user("admin", on_any()), through(storage, root())):
            with pytest.raises(AccessDeniedError):
                region.kms.require_allowed(call(action, caller), action, other)


# --- scope -------------------------------------------------------------------------------------------------


def test_a_service_managed_key_is_for_that_service_and_that_account(
    region: RegionUnderTest, storage: Service, mail: Service, ann: Caller
) -> None:
    blob = encrypt(region, through(storage, ann), ALIAS)
    arn = region.kms.key_arn(described(region, ALIAS))
    assert decrypt(region, through(storage, region.people.user("ben")), blob) == b"x"
    carol = region.people.user("carol", on_any(), account=OTHER_ACCOUNT)
    strangers = (
        ann,
        root(),
        region.people.user("admin", on_any()),
        through(mail, ann),
        through(storage, carol),
        itself(storage),
        itself(storage, ACCOUNT),
    )
    for caller in strangers:
        with pytest.raises(AccessDeniedError):
            encrypt(region, caller, arn)
        with pytest.raises(AccessDeniedError):
            decrypt(region, caller, blob)


def test_a_principals_own_policy_may_still_forbid_it(region: RegionUnderTest, storage: Service) -> None:
    ann = region.people.user("ann", on_any("kms:Encrypt", effect="Deny"))
    with pytest.raises(AccessDeniedError, match="explicit deny in an identity-based policy"):
        encrypt(region, through(storage, ann), ALIAS)


def test_a_service_owned_key_serves_many_accounts(
    region: RegionUnderTest, storage: Service, ann: Caller
) -> None:
    arn = region.kms.key_arn(region.kms.create_service_owned_key(storage.name, ""))
    carol = region.people.user("carol", account=OTHER_ACCOUNT)
    for caller in (itself(storage), itself(storage, ACCOUNT), through(storage, ann), through(storage, carol)):
        assert decrypt(region, caller, encrypt(region, caller, arn)) == b"x"


def test_a_customer_managed_key_follows_its_policies(region: RegionUnderTest, key: Key) -> None:
    by_identity, by_key_policy = region.people.user("ann", on_any("kms:Encrypt")), region.people.user("ben")
    put(
        region,
        key,
        document(allow(f"arn:aws:iam::{ACCOUNT}:root"), allow(by_key_policy.principal.arn, "kms:Encrypt")),
    )
    for caller in (by_identity, by_key_policy):
        assert encrypt(region, caller, key.key_id)
    with pytest.raises(AccessDeniedError):
        encrypt(region, region.people.user("carol"), key.key_id)


# --- what a hostile review found ---------------------------------------------------------------------------


def test_nothing_is_made_for_one_who_may_not_use_it(region: RegionUnderTest, storage: Service) -> None:
    denied = region.people.user("denied", on_any(effect="Deny"))
    with pytest.raises(AccessDeniedError, match="explicit deny in an identity-based policy"):
        encrypt(region, through(storage, denied), ALIAS)
    assert region.hsm.objects == {}


def test_a_rehearsal_makes_no_key(region: RegionUnderTest, storage: Service, ann: Caller) -> None:
    with pytest.raises(DryRunError):
        region.kms.encrypt(call("Encrypt", through(storage, ann)), ALIAS, b"x", {}, dry_run=True)
    assert region.hsm.objects == {}


def test_an_alias_below_the_services_own_is_nobodys(
    region: RegionUnderTest, storage: Service, ann: Caller
) -> None:
    with pytest.raises(NotFoundError):
        encrypt(region, through(storage, ann), "alias/aws/x/storage")
    assert region.hsm.objects == {}


def test_an_alias_behind_key_in_an_arn_is_no_alias(
    region: RegionUnderTest, key: Key, storage: Service, ann: Caller
) -> None:
    region.kms.create_alias(call("CreateAlias"), "alias/app", key.key_id)
    prefix = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/"
    for verb in (region.kms.describe_key, region.kms.disable_key):
        with pytest.raises(NotFoundError, match="Invalid keyId"):
            verb(call("DescribeKey"), f"{prefix}alias/app")
    with pytest.raises(NotFoundError):
        encrypt(region, through(storage, ann), prefix + ALIAS)
    assert list(region.hsm.objects) == [key.current_material_id]


def test_a_service_grants_nothing_that_goes_past_it(
    region: RegionUnderTest, storage: Service, ann: Caller
) -> None:
    carol = region.people.user("carol", account=OTHER_ACCOUNT)
    encrypt(region, through(storage, ann), ALIAS)
    arn = region.kms.key_arn(described(region, ALIAS))
    plan = GrantPlan(carol.principal.arn, ["Encrypt"])
    region.kms.create_grant(call("CreateGrant", through(storage, ann)), arn, plan, dry_run=False)
    with pytest.raises(AccessDeniedError):
        encrypt(region, carol, arn)
    assert encrypt(region, through(storage, carol), arn)


def test_one_service_learns_nothing_of_anothers_own_keys(
    region: RegionUnderTest, storage: Service, mail: Service
) -> None:
    owned = region.kms.create_service_owned_key(storage.name, "")
    absent = owned.key_id[:-1] + ("0" if owned.key_id[-1] != "0" else "1")
    said = set()
    for key_ref in (owned.key_id, absent):
        with pytest.raises(AccessDeniedError) as refused:
            described(region, key_ref, itself(mail))
        said.add(str(refused.value).replace(key_ref, "KEY"))
    assert len(said) == 1
