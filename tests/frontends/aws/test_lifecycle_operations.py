"""Rotation, deletion, imported material and last use on the wire: what is asked, and the JSON as answered."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from botocore.model import ServiceModel

from hsmkms.errors import KmsError, UnsupportedOperationError, ValidationError
from hsmkms.model.imports import ImportType, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import KeyOrigin, KeyState, KeyVersion, RotationType, VersionState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.model.usage import LastUse
from hsmkms.service.call import Call
from hsmkms.service.results import (
    ImportedMaterial,
    ImportParameters,
    KeyUse,
    MaterialStanding,
    Page,
    RotationStatus,
    ScheduledDeletion,
    ShownVersion,
)
from tests.frontends.aws.conftest import ARN, BORN, KEY_ID, KEY_MATERIAL_ID, OTHER_MATERIAL_ID
from tests.frontends.aws.test_operations import LIFECYCLE_OPERATIONS, assert_answer_fits, assert_fits, perform

BORN_SECONDS: Final = 1767323045.679
LATER: Final = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LATER_SECONDS: Final = 1772600767.0
TOKEN: Final = b"import token \xff"
WRAPPED: Final = b"wrapped \xfb"
B64: Final = {content: base64.b64encode(content).decode() for content in (TOKEN, WRAPPED, b"public key")}

FIRST: Final = KeyVersion(
    KeyId(KEY_ID), MaterialId(b"a" * 16), VersionState.ENABLED, b"sealed", created_at=BORN, changed_at=BORN
)
SECOND: Final = replace(FIRST, rotated_at=LATER, rotation_type=RotationType.AUTOMATIC)
IMPORTED: Final = replace(FIRST, origin=KeyOrigin.EXTERNAL)
NEVER_ROTATED: Final = RotationStatus(ARN, False, None, None, None)
NEVER_USED: Final = KeyUse(KEY_ID, None, tracked_since=LATER, created_at=BORN)


@dataclass
class RecordingLifecycle:
    """Has the verbs of ``Kms`` about the life of a key; ``asked`` is what the last one was given."""

    next_marker: str | None = None
    asked: tuple[object, ...] = ()
    shown: list[ShownVersion] = field(default_factory=list)
    status: RotationStatus = NEVER_ROTATED
    material_id: str | None = KEY_MATERIAL_ID
    use: KeyUse = NEVER_USED

    def enable_key_rotation(self, _: Call, key_ref: str, rotation_days: int | None) -> None:
        self.asked = ("enable", key_ref, rotation_days)

    def disable_key_rotation(self, _: Call, key_ref: str) -> None:
        self.asked = ("disable", key_ref)

    def key_rotation_status(self, _: Call, key_ref: str) -> RotationStatus:
        self.asked = ("status", key_ref)
        return self.status

    def rotate_key_on_demand(self, _: Call, key_ref: str) -> str:
        self.asked = ("rotate", key_ref)
        return ARN

    def list_key_rotations(
        self, _: Call, key_ref: str, *, all_material: bool, limit: int, marker: str | None
    ) -> Page[ShownVersion]:
        self.asked = ("list", key_ref, all_material, limit, marker)
        return Page(self.shown, self.next_marker)

    def schedule_key_deletion(self, _: Call, key_ref: str, window_days: int | None) -> ScheduledDeletion:
        self.asked = ("schedule", key_ref, window_days)
        return ScheduledDeletion(ARN, LATER, KeyState.PENDING_DELETION, 30)

    def cancel_key_deletion(self, _: Call, key_ref: str) -> str:
        self.asked = ("cancel", key_ref)
        return ARN

    def parameters_for_import(
        self, _: Call, key_ref: str, algorithm: WrappingAlgorithm, key_spec: WrappingKeySpec
    ) -> ImportParameters:
        self.asked = ("parameters", key_ref, algorithm, key_spec)
        return ImportParameters(ARN, TOKEN, b"public key", LATER)

    def import_key_material(self, _: Call, key_ref: str, **asked: object) -> ImportedMaterial:
        self.asked = ("import", key_ref, asked)
        return ImportedMaterial(ARN, self.material_id)

    def delete_imported_key_material(
        self, _: Call, key_ref: str, key_material_id: str | None
    ) -> ImportedMaterial:
        self.asked = ("delete", key_ref, key_material_id)
        return ImportedMaterial(ARN, self.material_id)

    def key_last_usage(self, _: Call, key_ref: str) -> KeyUse:
        self.asked = ("usage", key_ref)
        return self.use


@pytest.fixture
def lifecycle() -> RecordingLifecycle:
    return RecordingLifecycle()


IMPORT: Final = {"KeyId": KEY_ID, "ImportToken": B64[TOKEN], "EncryptedKeyMaterial": B64[WRAPPED]}
STAYS: Final = "KEY_MATERIAL_DOES_NOT_EXPIRE"
TAKEN_IN: Final[dict[str, object]] = {
    "import_token": TOKEN,
    "encrypted_material": WRAPPED,
    "expires_at": None,
    "import_type": None,
    "key_material_id": None,
    "description": None,
}
MATERIAL: Final = {"KeyId": ARN, "KeyMaterialId": KEY_MATERIAL_ID}
SCHEDULED: Final = {
    "KeyId": ARN,
    "DeletionDate": LATER_SECONDS,
    "KeyState": "PendingDeletion",
    "PendingWindowInDays": 30,
}

SUCCESSES = [
    pytest.param("EnableKeyRotation", {"KeyId": ARN}, ("enable", ARN, None), None, id="EnableKeyRotation"),
    *(
        pytest.param(
            "EnableKeyRotation",
            {"KeyId": KEY_ID, "RotationPeriodInDays": days},
            ("enable", KEY_ID, days),
            None,
            id=f"EnableKeyRotation every {days} days",
        )
        for days in (90, 2560)
    ),
    pytest.param("DisableKeyRotation", {"KeyId": KEY_ID}, ("disable", KEY_ID), None, id="DisableKeyRotation"),
    pytest.param(
        "GetKeyRotationStatus",
        {"KeyId": KEY_ID},
        ("status", KEY_ID),
        {"KeyId": KEY_ID, "KeyRotationEnabled": False},
        id="GetKeyRotationStatus",
    ),
    pytest.param(
        "RotateKeyOnDemand", {"KeyId": ARN}, ("rotate", ARN), {"KeyId": KEY_ID}, id="RotateKeyOnDemand"
    ),
    *(
        pytest.param(
            "ListKeyRotations",
            {"KeyId": KEY_ID, **members},
            ("list", KEY_ID, *asked),
            {"Rotations": [], "Truncated": False},
            id=f"ListKeyRotations {words}",
        )
        for words, members, asked in (
            ("by default", {}, (False, 100, None)),
            ("of rotations", {"IncludeKeyMaterial": "ROTATIONS_ONLY", "Limit": 1000}, (False, 1000, None)),
            ("of all", {"IncludeKeyMaterial": "ALL_KEY_MATERIAL", "Marker": "m"}, (True, 100, "m")),
        )
    ),
    *(
        pytest.param(
            "ScheduleKeyDeletion",
            {"KeyId": KEY_ID, **members},
            ("schedule", KEY_ID, days),
            SCHEDULED,
            id=f"ScheduleKeyDeletion in {days} days",
        )
        # Which of them may be is the service's to say.
        for days, members in (
            (None, {}),
            (1, {"PendingWindowInDays": 1}),
            (365, {"PendingWindowInDays": 365}),
        )
    ),
    pytest.param(
        "CancelKeyDeletion", {"KeyId": KEY_ID}, ("cancel", KEY_ID), {"KeyId": ARN}, id="CancelKeyDeletion"
    ),
    *(
        pytest.param(
            "GetParametersForImport",
            {"KeyId": KEY_ID, "WrappingAlgorithm": algorithm.value, "WrappingKeySpec": key_spec.value},
            ("parameters", KEY_ID, algorithm, key_spec),
            {
                "KeyId": ARN,
                "ImportToken": B64[TOKEN],
                "PublicKey": B64[b"public key"],
                "ParametersValidTo": LATER_SECONDS,
            },
            id=f"GetParametersForImport {algorithm} {key_spec}",
        )
        for algorithm in WrappingAlgorithm
        for key_spec in WrappingKeySpec
    ),
    pytest.param(
        "ImportKeyMaterial",
        {**IMPORT, "ExpirationModel": STAYS},
        ("import", KEY_ID, TAKEN_IN),
        MATERIAL,
        id="ImportKeyMaterial that stays",
    ),
    pytest.param(
        "ImportKeyMaterial",
        {**IMPORT, "ValidTo": LATER_SECONDS},
        ("import", KEY_ID, {**TAKEN_IN, "expires_at": LATER}),
        MATERIAL,
        id="ImportKeyMaterial that expires by default",
    ),
    pytest.param(
        "ImportKeyMaterial",
        {
            **IMPORT,
            "ValidTo": LATER_SECONDS,
            "ExpirationModel": "KEY_MATERIAL_EXPIRES",
            "ImportType": "EXISTING_KEY_MATERIAL",
            "KeyMaterialId": OTHER_MATERIAL_ID,
            "KeyMaterialDescription": "from the safe: No. 1/2_a-b.\t",
        },
        (
            "import",
            KEY_ID,
            {
                **TAKEN_IN,
                "expires_at": LATER,
                "import_type": ImportType.EXISTING_KEY_MATERIAL,
                "key_material_id": OTHER_MATERIAL_ID,
                "description": "from the safe: No. 1/2_a-b.\t",
            },
        ),
        MATERIAL,
        id="ImportKeyMaterial with everything",
    ),
    pytest.param(
        "ImportKeyMaterial",
        {**IMPORT, "ExpirationModel": STAYS, "ImportType": "NEW_KEY_MATERIAL"},
        ("import", KEY_ID, {**TAKEN_IN, "import_type": ImportType.NEW_KEY_MATERIAL}),
        MATERIAL,
        id="ImportKeyMaterial that is new",
    ),
    pytest.param(
        "ImportKeyMaterial",
        {**IMPORT, "ExpirationModel": STAYS, "KeyMaterialId": OTHER_MATERIAL_ID},
        ("import", KEY_ID, {**TAKEN_IN, "key_material_id": OTHER_MATERIAL_ID}),
        MATERIAL,
        id="ImportKeyMaterial of a name",
    ),
    pytest.param(
        "DeleteImportedKeyMaterial",
        {"KeyId": KEY_ID},
        ("delete", KEY_ID, None),
        MATERIAL,
        id="DeleteImportedKeyMaterial",
    ),
    pytest.param(
        "DeleteImportedKeyMaterial",
        {"KeyId": KEY_ID, "KeyMaterialId": KEY_MATERIAL_ID},
        ("delete", KEY_ID, KEY_MATERIAL_ID),
        MATERIAL,
        id="DeleteImportedKeyMaterial of a name",
    ),
    pytest.param(
        "GetKeyLastUsage",
        {"KeyId": ARN},
        ("usage", ARN),
        {
            "KeyId": KEY_ID,
            "KeyLastUsage": {},
            "TrackingStartDate": LATER_SECONDS,
            "KeyCreationDate": BORN_SECONDS,
        },
        id="GetKeyLastUsage of a key never used",
    ),
]


def test_every_such_operation_has_a_success_here() -> None:
    assert {success.values[0] for success in SUCCESSES} == LIFECYCLE_OPERATIONS


@pytest.mark.parametrize(("name", "request_members", "asked", "answer"), SUCCESSES)
def test_answers(
    *,
    service_model: ServiceModel,
    lifecycle: Any,
    call: Call,
    name: str,
    request_members: dict[str, Any],
    asked: tuple[object, ...],
    answer: dict[str, Any] | None,
) -> None:
    body = perform(lifecycle, call, name, request_members)
    assert lifecycle.asked == asked
    assert (json.loads(body) if body else None) == answer
    assert_fits(service_model.operation_model(name), request_members, body)


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        pytest.param(
            RotationStatus(ARN, True, 365, LATER, None),
            {"KeyRotationEnabled": True, "RotationPeriodInDays": 365, "NextRotationDate": LATER_SECONDS},
            id="by the calendar",
        ),
        pytest.param(
            RotationStatus(ARN, False, None, None, BORN),
            {"KeyRotationEnabled": False, "OnDemandRotationStartDate": BORN_SECONDS},
            id="on demand",
        ),
    ],
)
def test_how_a_key_rotates(
    service_model: ServiceModel, lifecycle: Any, call: Call, status: RotationStatus, shown: dict[str, Any]
) -> None:
    lifecycle.status = status
    body = perform(lifecycle, call, "GetKeyRotationStatus", {"KeyId": KEY_ID})
    assert json.loads(body) == {"KeyId": KEY_ID, **shown}
    assert_answer_fits(service_model.operation_model("GetKeyRotationStatus"), body)


def shown_version(
    version: KeyVersion, standing: MaterialStanding, *, is_imported: bool | None
) -> ShownVersion:
    return ShownVersion(version, KEY_MATERIAL_ID, standing, is_imported)


@pytest.mark.parametrize(
    ("shown", "entry"),
    [
        pytest.param(
            shown_version(FIRST, MaterialStanding.NON_CURRENT, is_imported=None),
            {"KeyMaterialState": "NON_CURRENT"},
            id="the first",
        ),
        pytest.param(
            shown_version(SECOND, MaterialStanding.CURRENT, is_imported=None),
            {"KeyMaterialState": "CURRENT", "RotationDate": LATER_SECONDS, "RotationType": "AUTOMATIC"},
            id="rotated by the calendar",
        ),
        pytest.param(
            shown_version(
                replace(IMPORTED, rotated_at=LATER, rotation_type=RotationType.ON_DEMAND),
                MaterialStanding.CURRENT,
                is_imported=True,
            ),
            {
                "KeyMaterialState": "CURRENT",
                "ImportState": "IMPORTED",
                "ExpirationModel": STAYS,
                "RotationDate": LATER_SECONDS,
                "RotationType": "ON_DEMAND",
            },
            id="imported and rotated on demand",
        ),
        pytest.param(
            shown_version(
                replace(IMPORTED, expires_at=LATER, description="from the safe"),
                MaterialStanding.PENDING_ROTATION,
                is_imported=True,
            ),
            {
                "KeyMaterialState": "PENDING_ROTATION",
                "ImportState": "IMPORTED",
                "KeyMaterialDescription": "from the safe",
                "ExpirationModel": "KEY_MATERIAL_EXPIRES",
                "ValidTo": LATER_SECONDS,
            },
            id="waits for its rotation and expires",
        ),
        pytest.param(
            shown_version(
                replace(IMPORTED, rotation_type=RotationType.ON_DEMAND),
                MaterialStanding.PENDING_ROTATION,
                is_imported=True,
            ),
            {"KeyMaterialState": "PENDING_ROTATION", "ImportState": "IMPORTED", "ExpirationModel": STAYS},
            id="has a type and no date yet",
        ),
        pytest.param(
            shown_version(
                replace(IMPORTED, expires_at=LATER, description="KeyMaterialA"),
                MaterialStanding.NON_CURRENT,
                is_imported=False,
            ),
            {
                "KeyMaterialState": "NON_CURRENT",
                "ImportState": "PENDING_IMPORT",
                "KeyMaterialDescription": "KeyMaterialA",
            },
            id="imported and gone",
        ),
    ],
)
def test_how_a_version_is_listed(
    service_model: ServiceModel, lifecycle: Any, call: Call, shown: ShownVersion, entry: dict[str, Any]
) -> None:
    lifecycle.shown = [shown]
    body = perform(lifecycle, call, "ListKeyRotations", {"KeyId": KEY_ID})
    named = {"KeyId": KEY_ID, "KeyMaterialId": KEY_MATERIAL_ID}
    assert json.loads(body) == {"Rotations": [named | entry], "Truncated": False}
    assert_answer_fits(service_model.operation_model("ListKeyRotations"), body)


def test_a_page_that_is_not_the_last_names_the_next(
    service_model: ServiceModel, lifecycle: Any, call: Call
) -> None:
    lifecycle.next_marker = "more"
    body = perform(lifecycle, call, "ListKeyRotations", {"KeyId": KEY_ID, "Limit": 1})
    members = json.loads(body)
    assert (members["Truncated"], members["NextMarker"]) == (True, "more")
    assert_answer_fits(service_model.operation_model("ListKeyRotations"), body)


def test_deleting_what_was_gone_names_no_material(
    service_model: ServiceModel, lifecycle: Any, call: Call
) -> None:
    lifecycle.material_id = None
    body = perform(lifecycle, call, "DeleteImportedKeyMaterial", {"KeyId": KEY_ID})
    assert json.loads(body) == {"KeyId": ARN}
    assert_answer_fits(service_model.operation_model("DeleteImportedKeyMaterial"), body)


def test_a_key_that_was_used_says_how(service_model: ServiceModel, lifecycle: Any, call: Call) -> None:
    last = LastUse(MaterialId(b"a" * 16), "Decrypt", LATER, event_id="event", request_id="request")
    lifecycle.use = replace(NEVER_USED, last=last)
    body = perform(lifecycle, call, "GetKeyLastUsage", {"KeyId": KEY_ID})
    assert json.loads(body)["KeyLastUsage"] == {
        "Operation": "Decrypt",
        "Timestamp": LATER_SECONDS,
        "CloudTrailEventId": "event",
        "KmsRequestId": "request",
    }
    assert_answer_fits(service_model.operation_model("GetKeyLastUsage"), body)


@pytest.mark.parametrize(
    ("wire_seconds", "expires_at"),
    [
        pytest.param("1772600767", LATER, id="whole seconds, as botocore sends them"),
        pytest.param("1772600767.25", LATER.replace(microsecond=250_000), id="a fraction"),
        pytest.param("1.772600767E9", LATER, id="an exponent, as Java writes it"),
        pytest.param("-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), id="before 1970"),
    ],
)
def test_a_moment_is_a_number_of_seconds(
    lifecycle: Any, call: Call, wire_seconds: str, expires_at: datetime
) -> None:
    perform(lifecycle, call, "ImportKeyMaterial", {**IMPORT, "ValidTo": json.loads(wire_seconds)})
    assert lifecycle.asked[2]["expires_at"] == expires_at


def unsupported(option: str) -> str:
    return f"GetParametersForImport with {option} is not supported by this service."


@pytest.mark.parametrize(
    ("name", "request_members", "kind", "words"),
    [
        *(
            pytest.param(
                "GetParametersForImport",
                {"KeyId": KEY_ID, "WrappingAlgorithm": algorithm, "WrappingKeySpec": key_spec},
                UnsupportedOperationError,
                unsupported(option),
                id=f"{algorithm} {key_spec}",
            )
            for algorithm, key_spec, option in (
                ("RSAES_PKCS1_V1_5", "RSA_2048", "WrappingAlgorithm RSAES_PKCS1_V1_5"),
                ("SM2PKE", "SM2", "WrappingAlgorithm SM2PKE"),
                ("RSAES_OAEP_SHA_256", "SM2", "WrappingKeySpec SM2"),
            )
        ),
        *(
            pytest.param(
                "ImportKeyMaterial",
                {**IMPORT, **model},
                ValidationError,
                "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES",
                id=f"expires nobody knows when, {words}",
            )
            for words, model in (
                ("by default", {}),
                ("by request", {"ExpirationModel": "KEY_MATERIAL_EXPIRES"}),
            )
        ),
        pytest.param(
            "ImportKeyMaterial",
            {**IMPORT, "ExpirationModel": STAYS, "ValidTo": LATER_SECONDS},
            ValidationError,
            "A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE",
            id="stays and expires",
        ),
        pytest.param(
            "ImportKeyMaterial",
            {
                **IMPORT,
                "ExpirationModel": STAYS,
                "ImportType": "NEW_KEY_MATERIAL",
                "KeyMaterialId": KEY_MATERIAL_ID,
            },
            ValidationError,
            "You cannot specify KeyMaterialId when ImportType is NEW_KEY_MATERIAL",
            id="new and known",
        ),
    ],
)
def test_refuses_before_the_service_is_asked(
    *,
    lifecycle: Any,
    call: Call,
    name: str,
    request_members: dict[str, Any],
    kind: type[KmsError],
    words: str,
) -> None:
    with pytest.raises(kind) as refusal:
        perform(lifecycle, call, name, request_members)
    assert str(refusal.value) == words
    assert lifecycle.asked == ()
