"""Who logs in: long-term keys, session tokens, and services that call for others."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest

from hsmkms.authn import derive_signing_key
from hsmkms.errors import (
    AccessDeniedError,
    ExpiredCredentialsError,
    KeyUnavailableError,
    ServiceFaultError,
    UnrecognizedCredentialsError,
)
from hsmkms.model.identities import AccessKey, Status
from hsmkms.model.names import OPERATOR_ACCOUNT
from hsmkms.model.principals import Principal, PrincipalKind, root_principal, service_principal
from hsmkms.service.assumption import Assumption
from hsmkms.service.call import Caller, ServiceContext, Session
from hsmkms.service.delegation import Delegation
from hsmkms.service.identity_secrets import IdentitySecrets
from hsmkms.service.logins import Logins
from hsmkms.service.session_tokens import MAX_SESSION_TOKEN_LENGTH
from hsmkms.service.sessions import Credentials
from tests.unit.service.people import (
    ACCOUNT,
    ANN,
    ANN_ID,
    ANN_KEY,
    BEGINNING,
    OTHER_ACCOUNT,
    PAYROLL,
    PAYROLL_ID,
    REGION,
    ROOT,
    ROOT_KEY,
    SCOPE,
    SECRET,
    STORAGE,
    STORAGE_KEY,
    People,
    allow,
    everybody,
    sts_call,
)

SESSION_PAYROLL = f"arn:aws:sts::{ACCOUNT}:assumed-role/payroll/night"


@pytest.fixture
def people() -> People:
    return everybody()


def payroll_session(people: People) -> Credentials:
    people.put_policy(ANN_ID, allow("sts:AssumeRole"))
    call = sts_call(people.caller(ANN_KEY))
    return people.sessions.assume_role(call, Assumption(PAYROLL, "night")).credentials


def own_session(people: People, access_key_id: str = ANN_KEY) -> Credentials:
    return people.sessions.get_session_token(sts_call(people.caller(access_key_id)))


class TestLongTermKeys:
    def test_the_signing_key_is_that_of_the_secret(self, people: People) -> None:
        for scope in (SCOPE, SCOPE, ("20261125", REGION, "sts")):
            assert people.logins.signing_key(ANN_KEY, *scope)[1] == derive_signing_key(SECRET, *scope)

    @pytest.mark.parametrize(
        ("access_key_id", "principal"),
        [
            pytest.param(ROOT_KEY, root_principal(ACCOUNT), id="root"),
            pytest.param(ANN_KEY, Principal(PrincipalKind.USER, ACCOUNT, ANN, ANN_ID), id="user"),
            pytest.param(STORAGE_KEY, service_principal(STORAGE, OPERATOR_ACCOUNT), id="service"),
        ],
    )
    def test_who_it_is(self, access_key_id: str, principal: Principal, people: People) -> None:
        caller = people.caller(access_key_id)
        assert (caller.principal, caller.access_key_id) == (principal, access_key_id)
        assert caller.session is None

    def test_a_user_has_policies_and_tags(self, people: People) -> None:
        people.put_policy(ANN_ID, allow("kms:*"))
        caller = people.caller(ANN_KEY)
        assert [policy.text for policy in caller.own.identity] == [
            policy.text for policy in people.directory.snapshot().identities[ANN_ID].policies
        ]
        assert (len(caller.own.identity), list(caller.own.session)) == (1, [])
        assert caller.tags == {"team": "pay"}

    def test_nobody_but_a_service_comes_through_one(self, people: People) -> None:
        assert people.caller(STORAGE_KEY).via == ServiceContext(STORAGE, "storage", on_behalf=False)
        assert people.caller(ANN_KEY).via is None
        assert people.caller(ROOT_KEY).via is None

    def test_a_caller_is_made_once_and_again_after_a_change(self, people: People) -> None:
        first = people.caller(ANN_KEY)
        assert people.caller(ANN_KEY) is first
        people.put_policy(ANN_ID, allow("kms:Decrypt"))
        assert len(people.caller(ANN_KEY).own.identity) == 1
        assert len(first.own.identity) == 0

    @pytest.mark.parametrize(
        ("access_key_id", "disable"),
        [
            pytest.param(
                ANN_KEY,
                lambda people: people.directory.set_access_key_status(ANN_KEY, Status.INACTIVE),
                id="the access key is disabled",
            ),
            pytest.param(
                ANN_KEY, lambda people: people.directory.remove_access_key(ANN_KEY), id="it is removed"
            ),
            pytest.param(
                ANN_KEY,
                lambda people: people.directory.set_identity_status(ANN_ID, Status.INACTIVE),
                id="the user is disabled",
            ),
            pytest.param(
                ANN_KEY, lambda people: people.directory.remove_identity(ANN_ID), id="the user is removed"
            ),
            pytest.param(
                STORAGE_KEY,
                lambda people: people.directory.set_service_status(STORAGE, Status.INACTIVE),
                id="the service is disabled",
            ),
            pytest.param(
                STORAGE_KEY,
                lambda people: people.directory.remove_service(STORAGE),
                id="the service is removed",
            ),
        ],
    )
    def test_is_refused_on_the_very_next_request(
        self, access_key_id: str, disable: Callable[[People], None], people: People
    ) -> None:
        people.caller(access_key_id)
        disable(people)
        with pytest.raises(UnrecognizedCredentialsError):
            people.caller(access_key_id)

    def test_comes_back_when_it_is_enabled_again(self, people: People) -> None:
        people.directory.set_identity_status(ANN_ID, Status.INACTIVE)
        people.directory.set_identity_status(ANN_ID, Status.ACTIVE)
        assert people.caller(ANN_KEY).principal.unique_id == ANN_ID

    def test_unknown_and_disabled_look_alike(self, people: People) -> None:
        people.directory.set_access_key_status(ANN_KEY, Status.INACTIVE)
        refusals = []
        for access_key_id in (ANN_KEY, "AKIAUNKNOWN000000001"):
            with pytest.raises(UnrecognizedCredentialsError) as refusal:
                people.caller(access_key_id)
            refusals.append(str(refusal.value))
        assert refusals[0] == refusals[1]

    @pytest.mark.parametrize(
        ("account", "principal_id"),
        [
            pytest.param(ACCOUNT, PAYROLL_ID, id="a role"),
            pytest.param(OTHER_ACCOUNT, ANN_ID, id="a user of another account"),
            pytest.param("333333333333", "333333333333", id="an account that is none"),
            pytest.param(None, "other.internal", id="a service that is none"),
            pytest.param(None, ANN_ID, id="a user without an account"),
        ],
    )
    def test_a_damaged_row_lets_nobody_in(
        self, account: str | None, principal_id: str, people: People, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        snapshot = people.directory.snapshot()
        damaged = replace(
            snapshot.access_keys[ANN_KEY],
            account=account,  # type: ignore[arg-type]  # as a row may have it
            principal_id=principal_id,
        )
        monkeypatch.setattr(people.directory, "_snapshot", replace(snapshot, access_keys={ANN_KEY: damaged}))
        with pytest.raises(UnrecognizedCredentialsError):
            people.caller(ANN_KEY)

    def test_a_replaced_secret_counts_at_once(self, people: People) -> None:
        people.caller(ANN_KEY)
        people.directory.remove_access_key(ANN_KEY)
        sealed = people.secrets.seal_secret(ANN_KEY, "another secret")
        people.directory.add_access_key(AccessKey(ANN_KEY, ACCOUNT, ANN_ID, Status.ACTIVE, sealed, BEGINNING))
        signing_key = people.logins.signing_key(ANN_KEY, *SCOPE)[1]
        assert signing_key == derive_signing_key("another secret", *SCOPE)

    def test_sealed_secrets_cannot_change_places(self, people: People) -> None:
        other = "AKIAANN0000000000002"
        sealed = people.directory.snapshot().access_keys[ANN_KEY].sealed_secret
        people.directory.add_access_key(AccessKey(other, ACCOUNT, ANN_ID, Status.ACTIVE, sealed, BEGINNING))
        with pytest.raises(ServiceFaultError, match="does not open"):
            people.caller(other)

    def test_an_id_of_temporary_credentials_is_no_long_term_key(self, people: People) -> None:
        imported = "ASIAIMPORTED00000001"
        sealed = people.secrets.seal_secret(imported, SECRET)
        people.directory.add_access_key(
            AccessKey(imported, ACCOUNT, ANN_ID, Status.ACTIVE, sealed, BEGINNING)
        )
        with pytest.raises(UnrecognizedCredentialsError):
            people.caller(imported)

    def test_nobody_logs_in_while_the_store_is_locked(self, people: People) -> None:
        issued = own_session(people)
        locked = Logins(people.directory, IdentitySecrets(people.directory, {}), people.clock)
        with pytest.raises(KeyUnavailableError):
            locked.signing_key(ANN_KEY, *SCOPE)
        with pytest.raises(KeyUnavailableError):
            locked.session_signing_key(issued.session_token.encode(), issued.access_key_id, *SCOPE)

    def test_caches_are_bounded(self, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hsmkms.service.logins._CACHED_SIGNING_KEYS", 3)
        monkeypatch.setattr("hsmkms.service.logins._CACHED_CALLERS", 2)
        monkeypatch.setattr("hsmkms.service.session_tokens._OPENED_TOKENS", 2)
        for day in range(10, 20):
            people.logins.signing_key(ANN_KEY, f"202611{day}", REGION, "kms")
            issued = own_session(people)
            people.session_caller(issued.access_key_id, issued.session_token)
        assert 0 < len(people.logins._signing_keys) <= 3
        assert 0 < len(people.logins._callers) <= 2
        assert 0 < len(people.logins._tokens._opened) <= 2


class TestSessions:
    def test_the_signing_key_is_that_of_the_temporary_secret(self, people: People) -> None:
        issued = payroll_session(people)
        for _ in range(2):
            assert people.logins.session_signing_key(
                issued.session_token.encode(), issued.access_key_id, *SCOPE
            )[1] == derive_signing_key(issued.secret_access_key, *SCOPE)

    def test_a_roles_session(self, people: People) -> None:
        people.put_policy(PAYROLL_ID, allow("kms:*"))
        issued = payroll_session(people)
        caller = people.session_caller(issued.access_key_id, issued.session_token)
        assert caller.principal == Principal(
            PrincipalKind.SESSION, ACCOUNT, SESSION_PAYROLL, f"{PAYROLL_ID}:night", PAYROLL
        )
        assert caller.access_key_id == issued.access_key_id
        assert len(caller.own.identity) == 1
        assert caller.tags == {"team": "pay", "level": "1"}
        assert caller.session is not None
        assert (caller.session.started_at, caller.session.issuer_name) == (BEGINNING, "payroll")
        assert caller.via is None

    @pytest.mark.parametrize("access_key_id", [ANN_KEY, ROOT_KEY])
    def test_a_session_of_ones_own_is_oneself(self, access_key_id: str, people: People) -> None:
        in_person = people.caller(access_key_id)
        issued = own_session(people, access_key_id)
        caller = people.session_caller(issued.access_key_id, issued.session_token)
        assert caller == replace(in_person, access_key_id=issued.access_key_id, session=Session(BEGINNING))

    def test_policies_of_the_role_are_those_of_now(self, people: People) -> None:
        issued = payroll_session(people)
        first = people.session_caller(issued.access_key_id, issued.session_token)
        assert people.session_caller(issued.access_key_id, issued.session_token) is first
        people.put_policy(PAYROLL_ID, allow("kms:Decrypt"))
        caller = people.session_caller(issued.access_key_id, issued.session_token)
        assert (len(first.own.identity), len(caller.own.identity)) == (0, 1)

    def test_ends_when_its_time_is_over(self, people: People) -> None:
        issued = payroll_session(people)
        people.clock.advance(seconds=3_599, milliseconds=999)
        people.session_caller(issued.access_key_id, issued.session_token)
        people.clock.advance(milliseconds=1)
        with pytest.raises(ExpiredCredentialsError):
            people.session_caller(issued.access_key_id, issued.session_token)

    @pytest.mark.parametrize(
        ("issue", "disable"),
        [
            pytest.param(
                payroll_session,
                lambda people: people.directory.set_identity_status(PAYROLL_ID, Status.INACTIVE),
                id="the role is disabled",
            ),
            pytest.param(
                payroll_session,
                lambda people: people.directory.remove_identity(PAYROLL_ID),
                id="the role is removed",
            ),
            pytest.param(
                own_session,
                lambda people: people.directory.set_identity_status(ANN_ID, Status.INACTIVE),
                id="the user is disabled",
            ),
            pytest.param(
                own_session,
                lambda people: people.directory.remove_identity(ANN_ID),
                id="the user is removed",
            ),
        ],
    )
    def test_ends_on_the_very_next_request_when(
        self, issue: Callable[[People], Credentials], disable: Callable[[People], None], people: People
    ) -> None:
        issued = issue(people)
        people.session_caller(issued.access_key_id, issued.session_token)
        disable(people)
        with pytest.raises(UnrecognizedCredentialsError):
            people.session_caller(issued.access_key_id, issued.session_token)

    @pytest.mark.parametrize(
        "spoilt",
        [
            pytest.param(lambda _: "", id="empty"),
            pytest.param(lambda token: token[:-4], id="cut short"),
            pytest.param(lambda token: token + "AAAA", id="longer"),
            pytest.param(lambda token: "B" + token[1:], id="another beginning"),
            pytest.param(
                lambda token: token[:40] + ("A" if token[40] != "A" else "B") + token[41:], id="bit"
            ),
            pytest.param(lambda token: token + "\n", id="another spelling"),
            pytest.param(lambda _: "A" * (MAX_SESSION_TOKEN_LENGTH + 4), id="too long"),
            pytest.param(lambda _: "not base64!", id="none at all"),
        ],
    )
    def test_refuses_tokens_that_are_none_of_ours(self, spoilt: Callable[[str], str], people: People) -> None:
        issued = payroll_session(people)
        with pytest.raises(UnrecognizedCredentialsError):
            people.session_caller(issued.access_key_id, spoilt(issued.session_token))
        people.session_caller(issued.access_key_id, issued.session_token)

    def test_refuses_what_was_sealed_for_something_else(self, people: People) -> None:
        issued = payroll_session(people)
        sealed_secret = people.directory.snapshot().access_keys[ANN_KEY].sealed_secret
        with pytest.raises(UnrecognizedCredentialsError):
            people.session_caller(issued.access_key_id, base64.b64encode(sealed_secret).decode())

    def test_refuses_tokens_of_another_service(self, people: People) -> None:
        issued = payroll_session(everybody())
        with pytest.raises(UnrecognizedCredentialsError):
            people.session_caller(issued.access_key_id, issued.session_token)

    @pytest.mark.parametrize("access_key_id", [ANN_KEY, "ASIAUNKNOWN000000001"])
    def test_refuses_a_token_of_other_credentials(self, access_key_id: str, people: People) -> None:
        issued = payroll_session(people)
        with pytest.raises(UnrecognizedCredentialsError):
            people.session_caller(access_key_id, issued.session_token)

    def test_refuses_temporary_credentials_without_their_token(self, people: People) -> None:
        with pytest.raises(UnrecognizedCredentialsError):
            people.caller(payroll_session(people).access_key_id)

    def test_any_region_takes_it_and_any_process(self, people: People) -> None:
        issued = payroll_session(people)
        other = Logins(people.directory, people.secrets, people.clock)
        caller, _ = other.session_signing_key(
            issued.session_token.encode(), issued.access_key_id, "20261124", "us-east-1", "kms"
        )
        assert caller.principal.arn == SESSION_PAYROLL


class TestServices:
    @pytest.mark.parametrize(
        ("arn", "principal"),
        [
            pytest.param(ROOT, root_principal(ACCOUNT), id="root"),
            pytest.param(ANN, Principal(PrincipalKind.USER, ACCOUNT, ANN, ANN_ID), id="user"),
            pytest.param(
                PAYROLL,
                Principal(
                    PrincipalKind.SESSION,
                    ACCOUNT,
                    f"arn:aws:sts::{ACCOUNT}:assumed-role/payroll/{STORAGE}",
                    f"{PAYROLL_ID}:{STORAGE}",
                    PAYROLL,
                ),
                id="role, in a session named after the service",
            ),
            pytest.param(
                SESSION_PAYROLL,
                Principal(PrincipalKind.SESSION, ACCOUNT, SESSION_PAYROLL, f"{PAYROLL_ID}:night", PAYROLL),
                id="session of a role",
            ),
        ],
    )
    def test_calls_on_behalf_of(self, arn: str, principal: Principal, people: People) -> None:
        caller = people.logins.calling_for(
            people.caller(STORAGE_KEY), Delegation(arn, ACCOUNT, "arn:aws:storage:::bucket/a")
        )
        assert (caller.principal, caller.access_key_id) == (principal, STORAGE_KEY)
        assert caller.via == ServiceContext(STORAGE, "storage", True, ACCOUNT, "arn:aws:storage:::bucket/a")

    def test_who_is_called_for_brings_policies_and_tags(self, people: People) -> None:
        for unique_id in (ANN_ID, PAYROLL_ID):
            people.put_policy(unique_id, allow("kms:*"))
        service = people.caller(STORAGE_KEY)
        user = people.logins.calling_for(service, Delegation(ANN))
        role = people.logins.calling_for(service, Delegation(PAYROLL))
        assert (len(user.own.identity), user.tags, user.session) == (1, {"team": "pay"}, None)
        assert (len(role.own.identity), role.tags) == (1, {"team": "pay", "level": "1"})
        assert role.session == Session(BEGINNING, "payroll")

    @pytest.mark.parametrize(
        ("delegation", "account"),
        [
            pytest.param(Delegation(), OPERATOR_ACCOUNT, id="nobody's resource"),
            pytest.param(Delegation(source_account=ACCOUNT), ACCOUNT, id="an account's"),
            pytest.param(
                Delegation(source_account=OTHER_ACCOUNT, source_arn="arn:aws:storage:::b"),
                OTHER_ACCOUNT,
                id="an account's resource",
            ),
        ],
    )
    def test_calls_in_its_own_name(self, delegation: Delegation, account: str, people: People) -> None:
        caller = people.logins.calling_for(people.caller(STORAGE_KEY), delegation)
        assert (caller.principal.kind, caller.principal.arn) == (PrincipalKind.SERVICE, STORAGE)
        assert caller.account == account
        assert caller.via is not None
        assert caller.via.on_behalf is False
        assert (caller.via.source_account, caller.via.source_arn) == (
            delegation.source_account,
            delegation.source_arn,
        )

    @pytest.mark.parametrize("access_key_id", [ANN_KEY, ROOT_KEY])
    def test_nobody_else_may_say_for_whom(self, access_key_id: str, people: People) -> None:
        signer = people.caller(access_key_id)
        with pytest.raises(AccessDeniedError, match="not authorized to call on behalf"):
            people.logins.calling_for(signer, Delegation(signer.principal.arn))

    def test_a_source_from_anybody_else_means_nothing(self, people: People) -> None:
        signer = people.caller(ANN_KEY)
        delegation = Delegation(source_account=OTHER_ACCOUNT, source_arn="arn:aws:storage:::b")
        assert people.logins.calling_for(signer, delegation) is signer

    @pytest.mark.parametrize(
        "delegation",
        [
            pytest.param(Delegation(""), id="an empty principal"),
            pytest.param(Delegation(f"arn:aws:iam::{ACCOUNT}:user/eve"), id="unknown user"),
            pytest.param(Delegation(f"arn:aws:iam::{OTHER_ACCOUNT}:user/ann"), id="user of another account"),
            pytest.param(Delegation("arn:aws:iam::333333333333:root"), id="unknown account"),
            pytest.param(Delegation(f"arn:aws:sts::{ACCOUNT}:assumed-role/eve/x"), id="unknown role"),
            pytest.param(Delegation(f"{SESSION_PAYROLL}/x"), id="no session's name"),
            pytest.param(Delegation(f"arn:aws:sts::{ACCOUNT}:assumed-role/payroll/x"), id="short name"),
            pytest.param(Delegation(STORAGE), id="a service"),
            pytest.param(Delegation(ANN_ID), id="a unique id"),
            pytest.param(Delegation(ACCOUNT), id="an account id"),
            pytest.param(Delegation(ANN, "333333333333"), id="unknown source account"),
            pytest.param(Delegation(source_account=""), id="empty source account"),
            pytest.param(Delegation(source_arn=""), id="empty source ARN"),
            pytest.param(Delegation(source_arn="bucket"), id="source that is no ARN"),
            pytest.param(Delegation(source_arn="arn:aws:storage:::a b"), id="source with a space"),
            pytest.param(Delegation(source_arn="arn:" + "x" * 2045), id="endless source"),
        ],
    )
    def test_refuses(self, delegation: Delegation, people: People) -> None:
        with pytest.raises(AccessDeniedError):
            people.logins.calling_for(people.caller(STORAGE_KEY), delegation)

    @pytest.mark.parametrize(
        ("arn", "unique_id"),
        [
            pytest.param(ANN, ANN_ID, id="user"),
            pytest.param(PAYROLL, PAYROLL_ID, id="role"),
            pytest.param(SESSION_PAYROLL, PAYROLL_ID, id="session"),
        ],
    )
    def test_refuses_whoever_is_disabled(self, arn: str, unique_id: str, people: People) -> None:
        service = people.caller(STORAGE_KEY)
        people.logins.calling_for(service, Delegation(arn))
        people.directory.set_identity_status(unique_id, Status.INACTIVE)
        with pytest.raises(AccessDeniedError):
            people.logins.calling_for(service, Delegation(arn))

    @pytest.mark.parametrize("delegation", [Delegation(), Delegation(ANN)], ids=["itself", "on behalf"])
    def test_a_service_that_was_disabled_just_now_is_refused(
        self, delegation: Delegation, people: People
    ) -> None:
        service: Caller = people.caller(STORAGE_KEY)
        people.directory.set_service_status(STORAGE, Status.INACTIVE)
        with pytest.raises(UnrecognizedCredentialsError):
            people.logins.calling_for(service, delegation)
