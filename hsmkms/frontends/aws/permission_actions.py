"""What the operations about key policies and grants do: one service call each, and the answer's spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hsmkms.errors import ValidationError
from hsmkms.frontends.aws import requests as wire
from hsmkms.frontends.aws.answers import list_members, timestamp
from hsmkms.model.names import root_arn
from hsmkms.service.call import Call
from hsmkms.service.grants import GrantPlan
from hsmkms.service.key_policies import POLICY_NAME
from hsmkms.service.results import Page, ShownGrant

if TYPE_CHECKING:
    from hsmkms.service.kms import Kms

Members = dict[str, object]

POLICIES_PER_PAGE: Final = 100
GRANTS_PER_PAGE: Final = 50


def get_key_policy(kms: Kms, call: Call, request: wire.GetKeyPolicyRequest) -> Members:
    """GetKeyPolicy."""
    policy_name = request.policy_name or POLICY_NAME
    return {"Policy": kms.get_key_policy(call, request.key_id, policy_name), "PolicyName": policy_name}


def put_key_policy(kms: Kms, call: Call, request: wire.PutKeyPolicyRequest) -> Members:
    """PutKeyPolicy."""
    kms.put_key_policy(
        call,
        request.key_id,
        request.policy_name or POLICY_NAME,
        request.policy,
        bypasses_lockout_check=request.bypass_policy_lockout_safety_check is True,
    )
    return {}


def list_key_policies(kms: Kms, call: Call, request: wire.ListKeyPoliciesRequest) -> Members:
    """ListKeyPolicies."""
    limit = request.limit or POLICIES_PER_PAGE
    page = kms.list_key_policies(call, request.key_id, limit=limit, marker=request.marker)
    members: Members = {"PolicyNames": list(page.items), "Truncated": page.next_marker is not None}
    if page.next_marker is not None:
        members["NextMarker"] = page.next_marker
    return members


def create_grant(kms: Kms, call: Call, request: wire.CreateGrantRequest) -> Members:
    """CreateGrant."""
    call.grant_tokens = request.grant_tokens or ()
    grantee, grantee_is_service = _one_principal(
        "GranteePrincipal", request.grantee_principal, request.grantee_service_principal
    )
    if grantee is None:
        raise ValidationError("Either GranteePrincipal or GranteeServicePrincipal is required.")
    retiring, retiring_is_service = _one_principal(
        "RetiringPrincipal", request.retiring_principal, request.retiring_service_principal
    )
    if not request.operations:
        raise ValidationError("Operations must name one operation at least.")
    constraints = request.constraints or wire.GrantConstraints()
    if constraints.source_arn is not None and not grantee_is_service:
        raise ValidationError("SourceArn can be a constraint of grants to service principals only.")
    plan = GrantPlan(
        grantee=grantee,
        operations=list(dict.fromkeys(request.operations)),
        retiring=retiring,
        name=request.name,
        context_equals=constraints.encryption_context_equals,
        context_subset=constraints.encryption_context_subset,
        source_arn=constraints.source_arn,
        grantee_is_service=grantee_is_service,
        retiring_is_service=retiring_is_service,
    )
    created = kms.create_grant(call, request.key_id, plan, dry_run=request.dry_run is True)
    return {"GrantToken": created.grant_token, "GrantId": created.grant_id}


def list_grants(kms: Kms, call: Call, request: wire.ListGrantsRequest) -> Members:
    """ListGrants."""
    grantee, grantee_is_service = _one_principal(
        "GranteePrincipal", request.grantee_principal, request.grantee_service_principal
    )
    page = kms.list_grants(
        call,
        request.key_id,
        grant_id=request.grant_id,
        grantee=grantee,
        grantee_is_service=grantee_is_service,
        limit=request.limit or GRANTS_PER_PAGE,
        marker=request.marker,
    )
    return _grants(page)


def list_retirable_grants(kms: Kms, call: Call, request: wire.ListRetirableGrantsRequest) -> Members:
    """ListRetirableGrants."""
    retiring, is_service = _one_principal(
        "RetiringPrincipal", request.retiring_principal, request.retiring_service_principal
    )
    if retiring is None:
        raise ValidationError("Either RetiringPrincipal or RetiringServicePrincipal is required.")
    limit = request.limit or GRANTS_PER_PAGE
    page = kms.list_retirable_grants(
        call, retiring, retiring_is_service=is_service, limit=limit, marker=request.marker
    )
    return _grants(page)


def retire_grant(kms: Kms, call: Call, request: wire.RetireGrantRequest) -> Members:
    """RetireGrant."""
    dry_run = request.dry_run is True
    if request.grant_token is not None:
        if request.key_id is not None or request.grant_id is not None:
            raise ValidationError("Specify either GrantToken, or KeyId and GrantId.")
        kms.retire_grant_of_token(call, request.grant_token, dry_run=dry_run)
    elif request.key_id is None or request.grant_id is None:
        raise ValidationError("Specify either GrantToken, or KeyId and GrantId.")
    else:
        kms.retire_grant(call, request.key_id, request.grant_id, dry_run=dry_run)
    return {}


def revoke_grant(kms: Kms, call: Call, request: wire.RevokeGrantRequest) -> Members:
    """RevokeGrant."""
    kms.revoke_grant(call, request.key_id, request.grant_id, dry_run=request.dry_run is True)
    return {}


def _one_principal(member: str, principal: str | None, service: str | None) -> tuple[str | None, bool]:
    """Who is named, and whether as a service."""
    if principal is not None and service is not None:
        service_member = member.replace("Principal", "ServicePrincipal")
        raise ValidationError(f"Specify either {member} or {service_member}, not both.")
    return (principal, False) if service is None else (service, True)


def _grants(page: Page[ShownGrant]) -> Members:
    return list_members("Grants", [_grant_entry(shown) for shown in page.items], page)


def _grant_entry(shown: ShownGrant) -> Members:
    grant = shown.grant
    entry: Members = {
        "KeyId": shown.key_arn,
        "GrantId": grant.grant_id,
        "CreationDate": timestamp(grant.created_at),
        _member_of("GranteePrincipal", grant.grantee.arn): shown.grantee,
        "IssuingAccount": root_arn(grant.issuing_account),
        "Operations": sorted(action.removeprefix("kms:") for action in grant.actions),
    }
    if grant.name is not None:
        entry["Name"] = grant.name
    if grant.retiring is not None:
        entry[_member_of("RetiringPrincipal", grant.retiring.arn)] = shown.retiring
    constraints = {
        name: value
        for name, value in (
            ("EncryptionContextSubset", grant.context_subset),
            ("EncryptionContextEquals", grant.context_equals),
            ("SourceArn", grant.source_arn),
        )
        if value is not None
    }
    if constraints:
        entry["Constraints"] = constraints
    return entry


def _member_of(member: str, name: str) -> str:
    return member if name.startswith("arn:") else member.replace("Principal", "ServicePrincipal")
