"""Every operation in every state: the code's table against AWS's page, as it is printed there.

Source: AWS KMS Developer Guide, "Key states of AWS KMS keys". A cell that AWS makes depend on a key's origin
("?") is told here for keys whose material the token makes; N/A cells (no such key is in such a state) are
left out. The numbers are the notes of that page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from hsmkms.errors import KeyDisabledError, KeyStateError, KmsError
from hsmkms.model.actions import Action
from hsmkms.model.imports import WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import Key, KeyOrigin, KeyState, Tag
from hsmkms.service.grants import GrantPlan
from hsmkms.service.key_states import COLUMNS, MATRIX, require_state
from tests.unit.service.region import RegionUnderTest, build_region, call

_HEAD = "Enabled Disabled PendingDeletion PendingImport Unavailable Creating Updating"
_PAGE = """
CancelKeyDeletion                X4  X4  ok  X4  X4  X4  X4
CreateAlias                      ok  ok  X3  ok  ok  ok  ok
CreateGrant                      ok  X1  X3  X5  ok  X14 ok
Decrypt                          ok  X1  X3  X5  X11 X14 ok
DeleteAlias                      ok  ok  ok  ok  ok  ok  ok
DeleteImportedKeyMaterial        ok  ok  ok  ok  -   X14 X15
DescribeKey                      ok  ok  ok  ok  ok  ok  ok
DisableKey                       ok  ok  X3  X5  ok  X14 X15
DisableKeyRotation               ok  X1  X3  -   X11 X14 ok
EnableKey                        ok  ok  X3  X5  ok  X14 X15
EnableKeyRotation                ok  X1  X3  -   X11 X14 ok
Encrypt                          ok  X1  X3  X5  X11 X14 ok
GenerateDataKey                  ok  X1  X3  X5  X11 X14 ok
GenerateDataKeyWithoutPlaintext  ok  X1  X3  X5  X11 X14 ok
GetKeyPolicy                     ok  ok  ok  ok  ok  ok  ok
GetKeyRotationStatus             ok  ok  ok  -   X11 ok  ok
GetParametersForImport           ok  ok  X3  ok  X11 X14 X15
ImportKeyMaterial                ok  ok  X3  ok  X11 X14 X15
ListAliases                      ok  ok  ok  ok  ok  ok  ok
ListGrants                       ok  ok  ok  ok  ok  ok  ok
ListKeyPolicies                  ok  ok  ok  ok  ok  ok  ok
ListResourceTags                 ok  ok  ok  ok  ok  ok  ok
PutKeyPolicy                     ok  ok  ok  ok  ok  ok  ok
ReEncryptFrom                    ok  X1  X3  X5  X11 X14 ok
ReEncryptTo                      ok  X1  X3  X5  X11 X14 ok
RetireGrant                      ok  ok  ok  ok  ok  ok  ok
RevokeGrant                      ok  ok  ok  ok  ok  ok  ok
ScheduleKeyDeletion              ok  ok  X3  ok  ok  ok  X15
TagResource                      ok  ok  X3  ok  ok  ok  ok
UntagResource                    ok  ok  X3  ok  ok  ok  ok
UpdateAlias                      ok  ok  X3  ok  ok  ok  ok
UpdateKeyDescription             ok  ok  X3  ok  ok  ok  ok
"""
_PHRASES = {
    "X1": "is disabled.",
    "X3": "is pending deletion.",
    "X4": "is not pending deletion.",
    "X5": "is pending import.",
    "X11": "is unavailable.",
    "X14": "is creating.",
    "X15": "is updating.",
}
# Not on AWS's page: asked of the operations' own pages.
_BEYOND_THE_PAGE = {Action.GET_KEY_LAST_USAGE, Action.LIST_KEY_ROTATIONS, Action.ROTATE_KEY_ON_DEMAND}


def _cells() -> list[tuple[Action, KeyState, str]]:
    states = [KeyState(name) for name in _HEAD.split()]
    cells = []
    for line in _PAGE.strip().splitlines():
        name, *marks = line.split()
        cells += [(Action(f"kms:{name}"), state, mark) for state, mark in zip(states, marks, strict=True)]
    return [cell for cell in cells if cell[2] != "-"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[RegionUnderTest, Key]:
    region = build_region(Path(tmp_path_factory.mktemp("states")))
    return region, region.kms.create_key(call(), description="", tags=())


def test_the_tables_speak_of_the_same_operations() -> None:
    assert {action for action, _, _ in _cells()} | _BEYOND_THE_PAGE == set(MATRIX)
    assert set(COLUMNS) == set(KeyState)


@pytest.mark.parametrize(
    ("action", "state", "mark"), [pytest.param(*cell, id=f"{cell[0]}-{cell[1]}") for cell in _cells()]
)
def test_the_table_is_the_page(
    shared: tuple[RegionUnderTest, Key], action: Action, state: KeyState, mark: str
) -> None:
    key = replace(shared[1], state=state)
    if mark == "ok":
        require_state(action, key, "arn")
        return
    kind = KeyDisabledError if mark == "X1" else KeyStateError
    with pytest.raises(kind) as refused:
        require_state(action, key, "arn")
    assert str(refused.value) == f"arn {_PHRASES[mark]}"


@pytest.mark.parametrize("action", sorted(set(MATRIX) - {Action.CANCEL_KEY_DELETION}))
def test_a_replica_that_waits_for_its_deletion_is_as_one_that_is_going(
    shared: tuple[RegionUnderTest, Key], action: Action
) -> None:
    def refuses(state: KeyState) -> bool:
        try:
            require_state(action, replace(shared[1], state=state), "arn")
        except KmsError:
            return True
        return False

    assert refuses(KeyState.PENDING_REPLICA_DELETION) == refuses(KeyState.PENDING_DELETION)


Act = Callable[[RegionUnderTest, str, bytes], object]
_VERBS: dict[str, tuple[Action, Act]] = {
    "CancelKeyDeletion": (
        Action.CANCEL_KEY_DELETION,
        lambda r, k, _: r.kms.cancel_key_deletion(call(), k),
    ),
    "CreateAlias": (Action.CREATE_ALIAS, lambda r, k, _: r.kms.create_alias(call(), "alias/new", k)),
    "CreateGrant": (
        Action.CREATE_GRANT,
        lambda r, k, _: r.kms.create_grant(
            call(), k, GrantPlan("arn:aws:iam::111111111111:root", ["Decrypt"]), dry_run=False
        ),
    ),
    "Decrypt": (
        Action.DECRYPT,
        lambda r, k, blob: r.kms.decrypt(call(), blob, {}, key_ref=k, dry_run=False),
    ),
    "DescribeKey": (Action.DESCRIBE_KEY, lambda r, k, _: r.kms.describe_key(call(), k)),
    "DisableKey": (Action.DISABLE_KEY, lambda r, k, _: r.kms.disable_key(call(), k)),
    "DisableKeyRotation": (
        Action.DISABLE_KEY_ROTATION,
        lambda r, k, _: r.kms.disable_key_rotation(call(), k),
    ),
    "EnableKey": (Action.ENABLE_KEY, lambda r, k, _: r.kms.enable_key(call(), k)),
    "EnableKeyRotation": (
        Action.ENABLE_KEY_ROTATION,
        lambda r, k, _: r.kms.enable_key_rotation(call(), k, None),
    ),
    "Encrypt": (Action.ENCRYPT, lambda r, k, _: r.kms.encrypt(call(), k, b"x", {}, dry_run=False)),
    "GenerateDataKey": (
        Action.GENERATE_DATA_KEY,
        lambda r, k, _: r.kms.generate_data_key(call(), k, {}, length=32, dry_run=False),
    ),
    "GenerateDataKeyWithoutPlaintext": (
        Action.GENERATE_DATA_KEY_WITHOUT_PLAINTEXT,
        lambda r, k, _: r.kms.generate_data_key_without_plaintext(call(), k, {}, length=32, dry_run=False),
    ),
    "GetKeyLastUsage": (Action.GET_KEY_LAST_USAGE, lambda r, k, _: r.kms.key_last_usage(call(), k)),
    "GetKeyPolicy": (Action.GET_KEY_POLICY, lambda r, k, _: r.kms.get_key_policy(call(), k, "default")),
    "GetKeyRotationStatus": (
        Action.GET_KEY_ROTATION_STATUS,
        lambda r, k, _: r.kms.key_rotation_status(call(), k),
    ),
    "ListAliases": (
        Action.LIST_ALIASES,
        lambda r, k, _: r.kms.list_aliases(call(), key_ref=k, limit=1, marker=None),
    ),
    "ListKeyRotations": (
        Action.LIST_KEY_ROTATIONS,
        lambda r, k, _: r.kms.list_key_rotations(call(), k, all_material=True, limit=1, marker=None),
    ),
    "ListResourceTags": (
        Action.LIST_RESOURCE_TAGS,
        lambda r, k, _: r.kms.list_resource_tags(call(), k, limit=1, marker=None),
    ),
    "ReEncrypt": (
        Action.RE_ENCRYPT_TO,
        lambda r, k, blob: r.kms.re_encrypt(
            call(),
            blob,
            source_key_ref=k,
            source_context={},
            destination_key_ref=k,
            destination_context={},
            dry_run=False,
        ),
    ),
    "RotateKeyOnDemand": (
        Action.ROTATE_KEY_ON_DEMAND,
        lambda r, k, _: r.kms.rotate_key_on_demand(call(), k),
    ),
    "ScheduleKeyDeletion": (
        Action.SCHEDULE_KEY_DELETION,
        lambda r, k, _: r.kms.schedule_key_deletion(call(), k, None),
    ),
    "TagResource": (Action.TAG_RESOURCE, lambda r, k, _: r.kms.tag_resource(call(), k, [Tag("a", "b")])),
    "UntagResource": (Action.UNTAG_RESOURCE, lambda r, k, _: r.kms.untag_resource(call(), k, ["a"])),
    "UpdateKeyDescription": (
        Action.UPDATE_KEY_DESCRIPTION,
        lambda r, k, _: r.kms.update_key_description(call(), k, "new"),
    ),
}
_IMPORTED_VERBS: dict[str, tuple[Action, Act]] = {
    "DeleteImportedKeyMaterial": (
        Action.DELETE_IMPORTED_KEY_MATERIAL,
        lambda r, k, _: r.kms.delete_imported_key_material(call(), k, None),
    ),
    "GetParametersForImport": (
        Action.GET_PARAMETERS_FOR_IMPORT,
        lambda r, k, _: r.kms.parameters_for_import(
            call(), k, WrappingAlgorithm.RSAES_OAEP_SHA_256, WrappingKeySpec.RSA_2048
        ),
    ),
}
_REACHED = (KeyState.ENABLED, KeyState.DISABLED, KeyState.PENDING_DELETION)


@pytest.mark.parametrize("state", _REACHED)
@pytest.mark.parametrize("name", _VERBS)
def test_verbs_ask_the_table(tmp_path: Path, name: str, state: KeyState) -> None:
    region = build_region(tmp_path)
    key_id = region.kms.create_key(call(), description="", tags=()).key_id
    blob = region.kms.encrypt(call(), key_id, b"x", {}, dry_run=False).ciphertext_blob
    if state is KeyState.DISABLED:
        region.kms.disable_key(call(), key_id)
    if state is KeyState.PENDING_DELETION:
        region.kms.schedule_key_deletion(call(), key_id, 7)
    _verb_does_as_the_table_says(region, key_id, blob, _VERBS[name])


@pytest.mark.parametrize("state", [KeyState.PENDING_IMPORT, KeyState.PENDING_DELETION])
@pytest.mark.parametrize("name", [*_IMPORTED_VERBS, "Encrypt", "Decrypt", "EnableKey", "TagResource"])
def test_verbs_ask_the_table_about_imported_keys(tmp_path: Path, name: str, state: KeyState) -> None:
    region = build_region(tmp_path)
    other = region.kms.create_key(call(), description="", tags=()).key_id
    blob = region.kms.encrypt(call(), other, b"x", {}, dry_run=False).ciphertext_blob
    key_id = region.kms.create_key(call(), description="", tags=(), origin=KeyOrigin.EXTERNAL).key_id
    if state is KeyState.PENDING_DELETION:
        region.kms.schedule_key_deletion(call(), key_id, 7)
    _verb_does_as_the_table_says(region, key_id, blob, (_VERBS | _IMPORTED_VERBS)[name])


def _verb_does_as_the_table_says(
    region: RegionUnderTest, key_id: str, blob: bytes, verb: tuple[Action, Act]
) -> None:
    action, act = verb
    key = region.kms.describe_key(call(), key_id)
    try:
        require_state(action, key, region.kms.key_arn(key))
    except KmsError as refusal:
        wanted = refusal
    else:
        act(region, key_id, blob)
        return
    with pytest.raises(type(wanted)) as refused:
        act(region, key_id, blob)
    assert str(refused.value) == str(wanted)
    assert region.kms.describe_key(call(), key_id) == key, "a refusal changes nothing"


def test_a_key_that_is_going_comes_back_disabled(tmp_path: Path) -> None:
    region = build_region(tmp_path)
    key_id = region.kms.create_key(call(), description="", tags=()).key_id
    scheduled = region.kms.schedule_key_deletion(call(), key_id, 7)
    assert scheduled.deletion_at == region.clock.now() + timedelta(days=7)
    region.kms.cancel_key_deletion(call(), key_id)
    kept = region.kms.describe_key(call(), key_id)
    assert (kept.state, kept.deletion_at) == (KeyState.DISABLED, None)
    region.kms.enable_key(call(), key_id)
    region.kms.encrypt(call(), key_id, b"x", {}, dry_run=False)
