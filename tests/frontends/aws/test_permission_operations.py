"""Key policies and grants on the wire: what the service is asked, and the JSON as botocore understands it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import pytest
from botocore.model import ServiceModel

from hsmkms.errors import ValidationError
from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant, Grantee
from hsmkms.model.names import AccountId, KeyId
from hsmkms.service.call import Call
from hsmkms.service.grants import GrantPlan
from hsmkms.service.results import CreatedGrant, Page, ShownGrant
from tests.frontends.aws.conftest import ACCOUNT, ARN, BORN, KEY_ID
from tests.frontends.aws.test_operations import (
    PERMISSION_OPERATIONS,
    assert_fits,
    perform,
)

ANN: Final = f"arn:aws:iam::{ACCOUNT}:user/ann"
GRANT_ID: Final = "ab" * 32
GRANT: Final = Grant(
    grant_id=GRANT_ID,
    key_id=KeyId(KEY_ID),
    grantee=Grantee(ANN, "AIDA1"),
    actions=frozenset({Action.ENCRYPT, Action.DECRYPT}),
    issuing_account=AccountId(ACCOUNT),
    created_at=BORN,
    name="n",
    retiring=Grantee(ANN, "AIDA1"),
    context_subset={"a": "b"},
)
FOR_SERVICE: Final = Grant(
    grant_id="cd" * 32,
    key_id=KeyId(KEY_ID),
    grantee=Grantee("storage.internal", "storage.internal"),
    actions=frozenset({Action.DECRYPT}),
    issuing_account=AccountId(ACCOUNT),
    created_at=BORN,
    source_arn="arn:aws:s3:::bucket",
    context_equals={"a": "b"},
)


@dataclass
class RecordingPermissions:
    """Has the verbs of ``Kms`` about key policies and grants; ``asked`` is what the last one was given."""

    next_marker: str | None = None
    asked: tuple[object, ...] = ()

    def get_key_policy(self, _: Call, *asked: object) -> str:
        self.asked = asked
        return "{}"

    def put_key_policy(self, _: Call, *asked: object, bypasses_lockout_check: bool) -> None:
        self.asked = (*asked, bypasses_lockout_check)

    def list_key_policies(self, _: Call, key_ref: str, *, limit: int, marker: str | None) -> Page[str]:
        self.asked = (key_ref, limit, marker)
        return Page(["default"], self.next_marker)

    def create_grant(self, _: Call, key_ref: str, plan: GrantPlan, *, dry_run: bool) -> CreatedGrant:
        self.asked = (key_ref, plan, dry_run)
        return CreatedGrant(GRANT_ID, "token")

    def list_grants(self, _: Call, key_ref: str, **asked: object) -> Page[ShownGrant]:
        self.asked = (key_ref, asked)
        shown = [ShownGrant(GRANT, ARN, ANN, "AIDA1"), ShownGrant(FOR_SERVICE, ARN, "storage.internal", None)]
        return Page(shown, self.next_marker)

    def list_retirable_grants(self, _: Call, retiring: str, **asked: object) -> Page[ShownGrant]:
        self.asked = (retiring, asked)
        return Page([ShownGrant(GRANT, ARN, ANN, ANN)], self.next_marker)

    def retire_grant_of_token(self, _: Call, grant_token: str, *, dry_run: bool) -> None:
        self.asked = (grant_token, dry_run)

    def retire_grant(self, _: Call, key_ref: str, grant_id: str, *, dry_run: bool) -> None:
        self.asked = (key_ref, grant_id, dry_run)

    def revoke_grant(self, _: Call, key_ref: str, grant_id: str, *, dry_run: bool) -> None:
        self.asked = (key_ref, grant_id, dry_run)


@pytest.fixture
def permissions() -> RecordingPermissions:
    return RecordingPermissions()


ENTRY: Final = {
    "KeyId": ARN,
    "GrantId": GRANT_ID,
    "Name": "n",
    "CreationDate": 1767323045.679,
    "GranteePrincipal": ANN,
    "RetiringPrincipal": "AIDA1",
    "IssuingAccount": f"arn:aws:iam::{ACCOUNT}:root",
    "Operations": ["Decrypt", "Encrypt"],
    "Constraints": {"EncryptionContextSubset": {"a": "b"}},
}
ENTRY_FOR_SERVICE: Final = {
    "KeyId": ARN,
    "GrantId": "cd" * 32,
    "CreationDate": 1767323045.679,
    "GranteeServicePrincipal": "storage.internal",
    "IssuingAccount": f"arn:aws:iam::{ACCOUNT}:root",
    "Operations": ["Decrypt"],
    "Constraints": {"EncryptionContextEquals": {"a": "b"}, "SourceArn": "arn:aws:s3:::bucket"},
}
GRANT_FILTERS: Final = {"grant_id": None, "grantee": None, "grantee_is_service": False}

SUCCESSES = [
    pytest.param(
        "GetKeyPolicy",
        {"KeyId": KEY_ID},
        (KEY_ID, "default"),
        {"Policy": "{}", "PolicyName": "default"},
        id="GetKeyPolicy",
    ),
    pytest.param(
        "PutKeyPolicy", {"KeyId": KEY_ID, "Policy": "{}"}, (KEY_ID, "default", "{}", False), None, id="Put"
    ),
    pytest.param(
        "PutKeyPolicy",
        {"KeyId": KEY_ID, "PolicyName": "x", "Policy": "{}", "BypassPolicyLockoutSafetyCheck": True},
        (KEY_ID, "x", "{}", True),
        None,
        id="PutKeyPolicy with everything",
    ),
    pytest.param(
        "ListKeyPolicies",
        {"KeyId": KEY_ID, "Limit": 5, "Marker": "m"},
        (KEY_ID, 5, "m"),
        {"PolicyNames": ["default"], "Truncated": False},
        id="ListKeyPolicies",
    ),
    pytest.param(
        "CreateGrant",
        {"KeyId": KEY_ID, "GranteePrincipal": ANN, "Operations": ["Decrypt", "Encrypt", "Decrypt"]},
        (KEY_ID, GrantPlan(ANN, ["Decrypt", "Encrypt"]), False),
        {"GrantId": GRANT_ID, "GrantToken": "token"},
        id="CreateGrant",
    ),
    pytest.param(
        "CreateGrant",
        {
            "KeyId": KEY_ID,
            "GranteeServicePrincipal": "storage.internal",
            "RetiringServicePrincipal": "mail.internal",
            "Operations": ["Decrypt"],
            "Constraints": {
                "EncryptionContextSubset": {"a": "b"},
                "EncryptionContextEquals": {"c": "d"},
                "SourceArn": f"arn:aws:s3:eu-west-1:{ACCOUNT}:bucket/x",
            },
            "Name": "n",
            "DryRun": True,
        },
        (
            KEY_ID,
            GrantPlan(
                "storage.internal",
                ["Decrypt"],
                "mail.internal",
                "n",
                {"c": "d"},
                {"a": "b"},
                f"arn:aws:s3:eu-west-1:{ACCOUNT}:bucket/x",
                grantee_is_service=True,
                retiring_is_service=True,
            ),
            True,
        ),
        {"GrantId": GRANT_ID, "GrantToken": "token"},
        id="CreateGrant with everything",
    ),
    pytest.param(
        "ListGrants",
        {"KeyId": KEY_ID},
        (KEY_ID, {**GRANT_FILTERS, "limit": 50, "marker": None}),
        {"Grants": [ENTRY, ENTRY_FOR_SERVICE], "Truncated": False},
        id="ListGrants",
    ),
    pytest.param(
        "ListGrants",
        {"KeyId": KEY_ID, "GrantId": "g", "GranteeServicePrincipal": "a.b", "Limit": 1, "Marker": "m"},
        (
            KEY_ID,
            {"grant_id": "g", "grantee": "a.b", "grantee_is_service": True, "limit": 1, "marker": "m"},
        ),
        {"Grants": [ENTRY, ENTRY_FOR_SERVICE], "Truncated": False},
        id="ListGrants with every filter",
    ),
    pytest.param(
        "ListRetirableGrants",
        {"RetiringPrincipal": ANN},
        (ANN, {"retiring_is_service": False, "limit": 50, "marker": None}),
        {"Grants": [{**ENTRY, "RetiringPrincipal": ANN}], "Truncated": False},
        id="ListRetirableGrants",
    ),
    pytest.param(
        "RetireGrant", {"GrantToken": "t", "DryRun": True}, ("t", True), None, id="RetireGrant by token"
    ),
    pytest.param(
        "RetireGrant", {"KeyId": ARN, "GrantId": "g"}, (ARN, "g", False), None, id="RetireGrant by id"
    ),
    pytest.param(
        "RevokeGrant", {"KeyId": KEY_ID, "GrantId": "g"}, (KEY_ID, "g", False), None, id="RevokeGrant"
    ),
]


def test_every_such_operation_has_a_success_here() -> None:
    assert {success.values[0] for success in SUCCESSES} == PERMISSION_OPERATIONS


@pytest.mark.parametrize(("name", "request_members", "asked", "answer"), SUCCESSES)
def test_answers(
    *,
    service_model: ServiceModel,
    permissions: Any,
    call: Call,
    name: str,
    request_members: dict[str, Any],
    asked: tuple[object, ...],
    answer: dict[str, Any] | None,
) -> None:
    body = perform(permissions, call, name, request_members)
    assert permissions.asked == asked
    assert (json.loads(body) if body else None) == answer
    assert_fits(service_model.operation_model(name), request_members, body)


@pytest.mark.parametrize(
    ("name", "request_members"),
    [
        ("ListKeyPolicies", {"KeyId": KEY_ID}),
        ("ListGrants", {"KeyId": KEY_ID}),
        ("ListRetirableGrants", {"RetiringServicePrincipal": "a.b"}),
    ],
)
def test_a_page_that_is_not_the_last_names_the_next(
    permissions: Any, call: Call, name: str, request_members: dict[str, Any]
) -> None:
    permissions.next_marker = "more"
    members = json.loads(perform(permissions, call, name, request_members))
    assert (members["Truncated"], members["NextMarker"]) == (True, "more")


@pytest.mark.parametrize(
    ("name", "request_members"),
    [
        pytest.param("CreateGrant", {"KeyId": KEY_ID, "Operations": ["Decrypt"]}, id="a grant to nobody"),
        pytest.param(
            "CreateGrant",
            {
                "KeyId": KEY_ID,
                "Operations": ["Decrypt"],
                "GranteePrincipal": ANN,
                "GranteeServicePrincipal": "a.b",
            },
            id="to two",
        ),
        pytest.param(
            "CreateGrant",
            {
                "KeyId": KEY_ID,
                "Operations": ["Decrypt"],
                "GranteePrincipal": ANN,
                "RetiringPrincipal": ANN,
                "RetiringServicePrincipal": "a.b",
            },
            id="retired by two",
        ),
        pytest.param(
            "CreateGrant", {"KeyId": KEY_ID, "Operations": [], "GranteePrincipal": ANN}, id="of nothing"
        ),
        pytest.param(
            "CreateGrant",
            {
                "KeyId": KEY_ID,
                "Operations": ["Decrypt"],
                "GranteePrincipal": ANN,
                "Constraints": {"SourceArn": f"arn:aws:s3:eu-west-1:{ACCOUNT}:x"},
            },
            id="a user's for a resource",
        ),
        pytest.param(
            "ListGrants",
            {"KeyId": KEY_ID, "GranteePrincipal": ANN, "GranteeServicePrincipal": "a.b"},
            id="grants of two",
        ),
        pytest.param("ListRetirableGrants", {}, id="retirable by nobody"),
        pytest.param("RetireGrant", {}, id="retire nothing"),
        pytest.param("RetireGrant", {"KeyId": KEY_ID}, id="retire all of a key"),
        pytest.param("RetireGrant", {"GrantToken": "t", "GrantId": "g"}, id="retire two ways"),
    ],
)
def test_refuses_before_the_service_is_asked(
    permissions: Any, call: Call, name: str, request_members: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        perform(permissions, call, name, request_members)
    assert permissions.asked == ()


def test_grant_tokens_are_the_services_to_judge(permissions: Any, call: Call) -> None:
    request = {
        "KeyId": KEY_ID,
        "GranteePrincipal": ANN,
        "Operations": ["Encrypt"],
        "GrantTokens": ["secret-token"],
    }
    perform(permissions, call, "CreateGrant", request)
    assert call.grant_tokens == ("secret-token",)
    assert "secret-token" not in repr(call)
