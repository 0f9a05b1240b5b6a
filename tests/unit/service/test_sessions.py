"""AssumeRole and GetSessionToken: who may, for how long, and with what the session begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hsmkms.errors import (
    AccessDeniedError,
    KmsError,
    LimitExceededError,
    MalformedPolicyDocumentError,
    ValidationError,
)
from hsmkms.model.identities import Status
from hsmkms.model.keys import Tag
from hsmkms.policy.document import PolicyKind
from hsmkms.service.assumption import Assumption
from hsmkms.service.call import Call, Caller
from hsmkms.service.delegation import Delegation
from hsmkms.service.sessions import AssumedRole
from tests.unit.service.people import (
    ACCOUNT,
    ANN,
    ANN_ID,
    ANN_KEY,
    AUDIT,
    AUDIT_ID,
    BEGINNING,
    BOB,
    BOB_ID,
    BOB_KEY,
    OTHER_ACCOUNT,
    PAYROLL,
    PAYROLL_ID,
    ROOT_KEY,
    STORAGE,
    STORAGE_KEY,
    People,
    allow,
    document,
    everybody,
    sts_call,
    trust_in,
)

NIGHT = Assumption(PAYROLL, "night")
DENIED = f"User: {ANN} is not authorized to perform: sts:AssumeRole on resource: {PAYROLL}"
TAGGED = replace(NIGHT, tags=(Tag("Project", "x"), Tag("Cost", "1")), transitive_tag_keys=("project",))
ALL_OF_STS = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]


@pytest.fixture
def people() -> People:
    """Everybody, and ann, whom payroll's trust policy names."""
    people = everybody()
    people.put_trust(PAYROLL_ID, trust_in({"AWS": ANN}, ALL_OF_STS))
    return people


def assume(people: People, assumption: Assumption = NIGHT, access_key_id: str = ANN_KEY) -> AssumedRole:
    return people.sessions.assume_role(sts_call(people.caller(access_key_id)), assumption)


def begun(people: People, assumed: AssumedRole) -> Caller:
    """The session's caller."""
    credentials = assumed.credentials
    return people.session_caller(credentials.access_key_id, credentials.session_token)


class TestWhoMayAssume:
    def test_whom_the_trust_policy_names(self, people: People) -> None:
        assumed = assume(people)
        assert assumed.arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/payroll/night"
        assert assumed.unique_id == f"{PAYROLL_ID}:night"
        assert (assumed.source_identity, assumed.packed_percent) == (None, None)
        credentials = assumed.credentials
        assert credentials.access_key_id.startswith("ASIA")
        assert (len(credentials.access_key_id), len(credentials.secret_access_key)) == (20, 40)
        assert credentials.expires_at == BEGINNING + timedelta(hours=1)
        assert credentials.secret_access_key not in repr(assumed)
        assert credentials.session_token not in repr(assumed)

    def test_each_session_has_credentials_of_its_own(self, people: People) -> None:
        first, second = assume(people).credentials, assume(people).credentials
        assert first.access_key_id != second.access_key_id
        assert first.secret_access_key != second.secret_access_key

    @pytest.mark.parametrize(
        ("trust", "identity"),
        [
            pytest.param(trust_in({"AWS": ACCOUNT}), None, id="trusts the account, no policy of ann"),
            pytest.param(trust_in({"AWS": OTHER_ACCOUNT}), allow("sts:*"), id="trusts another account"),
            pytest.param(trust_in({"AWS": BOB}), allow("sts:*"), id="trusts somebody else"),
            pytest.param(
                trust_in({"AWS": ANN}),
                {"Effect": "Deny", "Action": "sts:AssumeRole", "Resource": PAYROLL},
                id="ann's own policy denies it",
            ),
            pytest.param(
                trust_in({"AWS": ACCOUNT}), allow("sts:AssumeRole", AUDIT), id="allowed for another role"
            ),
            pytest.param(trust_in({"AWS": ANN}, "sts:TagSession"), allow("sts:*"), id="another action"),
            pytest.param(trust_in({"Service": STORAGE}), allow("sts:*"), id="trusts a service"),
            pytest.param(
                trust_in({"AWS": ANN}, Condition={"StringEquals": {"sts:ExternalId": "x1"}}),
                None,
                id="an external id that did not come",
            ),
        ],
    )
    def test_refuses(
        self, trust: Mapping[str, Any], identity: Mapping[str, Any] | None, people: People
    ) -> None:
        people.put_trust(PAYROLL_ID, trust)
        if identity is not None:
            people.put_policy(ANN_ID, identity)
        with pytest.raises(AccessDeniedError) as refusal:
            assume(people)
        assert str(refusal.value) == DENIED

    def test_the_account_delegates_to_its_own_policies(self, people: People) -> None:
        people.put_trust(PAYROLL_ID, trust_in({"AWS": ACCOUNT}))
        people.put_policy(ANN_ID, allow("sts:AssumeRole", PAYROLL))
        assert assume(people).unique_id == f"{PAYROLL_ID}:night"

    def test_another_account_needs_both(self, people: People) -> None:
        people.put_trust(PAYROLL_ID, trust_in({"AWS": BOB}))
        with pytest.raises(AccessDeniedError):
            assume(people, access_key_id=BOB_KEY)
        people.put_policy(BOB_ID, allow("sts:AssumeRole", PAYROLL))
        assert begun(people, assume(people, access_key_id=BOB_KEY)).account == ACCOUNT

    @pytest.mark.parametrize(
        "make_absent",
        [
            pytest.param(lambda people: people.directory.remove_identity(PAYROLL_ID), id="gone"),
            pytest.param(
                lambda people: people.directory.set_identity_status(PAYROLL_ID, Status.INACTIVE),
                id="disabled",
            ),
            pytest.param(lambda people: people.put_trust(PAYROLL_ID, trust_in({"AWS": BOB})), id="denied"),
        ],
    )
    def test_a_role_that_is_not_there_looks_like_one_that_may_not_be_assumed(
        self, make_absent: Callable[[People], None], people: People
    ) -> None:
        make_absent(people)
        with pytest.raises(AccessDeniedError) as refusal:
            assume(people, replace(NIGHT, duration_seconds=43_200))
        assert str(refusal.value) == DENIED

    def test_a_role_without_a_trust_policy_is_nobodys(self, people: People) -> None:
        role = people.directory.snapshot().identities[AUDIT_ID]
        people.directory.remove_identity(AUDIT_ID)
        people.directory.add_identity(role.row, {}, None)
        people.put_policy(ANN_ID, allow("sts:*"))
        with pytest.raises(AccessDeniedError):
            assume(people, replace(NIGHT, role_arn=AUDIT))

    def test_a_user_is_no_role(self, people: People) -> None:
        with pytest.raises(AccessDeniedError):
            assume(people, replace(NIGHT, role_arn=ANN))

    def test_root_assumes_none(self, people: People) -> None:
        people.put_trust(PAYROLL_ID, trust_in({"AWS": ACCOUNT}))
        with pytest.raises(AccessDeniedError, match=r"^Roles may not be assumed by root accounts\.$"):
            assume(people, access_key_id=ROOT_KEY)

    def test_a_service_that_the_trust_policy_names(self, people: People) -> None:
        with pytest.raises(AccessDeniedError):
            assume(people, access_key_id=STORAGE_KEY)
        people.put_trust(PAYROLL_ID, trust_in({"Service": STORAGE}))
        session = begun(people, assume(people, access_key_id=STORAGE_KEY))
        assert session.principal.role_arn == PAYROLL
        assert session.via is None

    def test_a_service_begins_no_session_for_others(self, people: People) -> None:
        on_behalf = people.logins.calling_for(people.caller(STORAGE_KEY), Delegation(ANN))
        with pytest.raises(AccessDeniedError, match="on behalf"):
            people.sessions.assume_role(sts_call(on_behalf), NIGHT)
        with pytest.raises(AccessDeniedError, match="credentials of a service"):
            people.sessions.get_session_token(sts_call(on_behalf))

    @pytest.mark.parametrize(
        ("condition", "assumption", "is_allowed"),
        [
            pytest.param({"sts:ExternalId": "x1"}, replace(NIGHT, external_id="x1"), True, id="external id"),
            pytest.param({"sts:ExternalId": "x1"}, replace(NIGHT, external_id="x2"), False, id="another"),
            pytest.param({"sts:RoleSessionName": "${aws:username}"}, NIGHT, False, id="another's name"),
            pytest.param(
                {"sts:RoleSessionName": "${aws:username}"},
                replace(NIGHT, session_name="ann"),
                True,
                id="one's own name",
            ),
            pytest.param({"aws:PrincipalTag/team": "pay"}, NIGHT, True, id="a tag of the caller"),
            pytest.param({"aws:RequestTag/PROJECT": "x"}, TAGGED, True, id="a tag of the session"),
            pytest.param({"aws:RequestTag/Project": "y"}, TAGGED, False, id="another value"),
            pytest.param(
                {"aws:TagKeys": ["Cost"]}, replace(NIGHT, tags=(Tag("Cost", "1"),)), True, id="keys of tags"
            ),
            pytest.param({"sts:TransitiveTagKeys": "project"}, TAGGED, True, id="transitive keys"),
            pytest.param(
                {"sts:SourceIdentity": "ann"}, replace(NIGHT, source_identity="ann"), True, id="source"
            ),
            pytest.param({"sts:SourceIdentity": "ann"}, NIGHT, False, id="no source identity"),
            pytest.param({"sts:DurationSeconds": "3600"}, NIGHT, True, id="the default duration"),
            pytest.param({"aws:SourceIp": "10.0.0.9"}, NIGHT, True, id="what every call knows"),
        ],
    )
    def test_conditions_of_the_trust_policy(
        self, condition: Mapping[str, Any], assumption: Assumption, is_allowed: bool, people: People
    ) -> None:
        people.put_trust(
            PAYROLL_ID, trust_in({"AWS": ANN}, ALL_OF_STS, Condition={"StringEquals": condition})
        )
        if is_allowed:
            assume(people, assumption)
        else:
            with pytest.raises(AccessDeniedError):
                assume(people, assumption)

    @pytest.mark.parametrize(
        ("assumption", "action"),
        [
            pytest.param(TAGGED, "sts:TagSession", id="tags"),
            pytest.param(replace(NIGHT, source_identity="ann"), "sts:SetSourceIdentity", id="source"),
        ],
    )
    def test_tags_and_a_source_identity_need_leave_of_their_own(
        self, assumption: Assumption, action: str, people: People
    ) -> None:
        others = [one for one in ALL_OF_STS if one != action]
        people.put_trust(PAYROLL_ID, trust_in({"AWS": ANN}, others))
        with pytest.raises(AccessDeniedError) as refusal:
            assume(people, assumption)
        assert str(refusal.value) == DENIED.replace("sts:AssumeRole", action)

    def test_the_decision_is_recorded(self, people: People) -> None:
        call = sts_call(people.caller(ANN_KEY))
        assumed = people.sessions.assume_role(call, TAGGED)
        decisions = call.additional["decisions"]
        assert isinstance(decisions, list)
        assert [line.partition(": ")[0] for line in decisions] == ["sts:AssumeRole", "sts:TagSession"]
        assert call.additional["issuedAccessKeyId"] == assumed.credentials.access_key_id
        assert assumed.credentials.secret_access_key not in str(call.additional)

    def test_the_decision_of_a_refusal_is_recorded(self, people: People) -> None:
        people.directory.remove_identity(PAYROLL_ID)
        call = sts_call(people.caller(ANN_KEY))
        with pytest.raises(AccessDeniedError):
            people.sessions.assume_role(call, NIGHT)
        assert call.additional == {"decisions": ["sts:AssumeRole: there is no such role, or it is disabled"]}


class TestTheSession:
    @pytest.mark.parametrize(
        ("seconds", "refusal"),
        [
            pytest.param(900, None, id="the shortest"),
            pytest.param(7_200, None, id="as long as the role allows"),
            pytest.param(7_201, "MaxSessionDuration set for this role", id="longer than it allows"),
        ],
    )
    def test_how_long_it_may_be(self, seconds: int, refusal: str | None, people: People) -> None:
        wanted = replace(NIGHT, duration_seconds=seconds)
        if refusal is None:
            assert assume(people, wanted).credentials.expires_at == BEGINNING + timedelta(seconds=seconds)
        else:
            with pytest.raises(ValidationError, match=refusal):
                assume(people, wanted)

    def test_tags_go_over_those_of_the_role(self, people: People) -> None:
        assumed = assume(people, replace(NIGHT, tags=(Tag("TEAM", "night"), Tag("é", ""))))
        assert begun(people, assumed).tags == {"team": "night", "level": "1", "é": ""}
        assert assumed.packed_percent is not None
        assert 0 < assumed.packed_percent < 10

    @pytest.mark.parametrize(
        ("assumption", "kind", "words"),
        [
            pytest.param(
                replace(NIGHT, tags=(Tag("a", ""), Tag("A", ""))),
                ValidationError,
                "Duplicate tag keys",
                id="a tag twice",
            ),
            pytest.param(
                replace(NIGHT, tags=(Tag("AWS:x", ""),)), ValidationError, "reserved", id="a reserved key"
            ),
            pytest.param(
                replace(NIGHT, tags=(Tag("a", ""),), transitive_tag_keys=("b",)),
                ValidationError,
                "must be included in the requested tags",
                id="transitive and not there",
            ),
            pytest.param(
                replace(NIGHT, tags=tuple(Tag(f"k{n}", "") for n in range(51))),
                LimitExceededError,
                "at most 50 tags",
                id="too many",
            ),
            pytest.param(
                replace(NIGHT, policy="{"), MalformedPolicyDocumentError, "it is no JSON", id="no policy"
            ),
            pytest.param(
                replace(NIGHT, policy=document(allow("kms:*", Principal="*"))),
                MalformedPolicyDocumentError,
                "session policy",
                id="a policy of another kind",
            ),
            pytest.param(
                replace(NIGHT, policy_arns=(f"arn:aws:iam::{ACCOUNT}:policy/none",)),
                ValidationError,
                "does not exist in the role's account",
                id="an unknown managed policy",
            ),
            pytest.param(
                replace(NIGHT, policy_arns=(f"arn:aws:iam::{OTHER_ACCOUNT}:policy/other",)),
                ValidationError,
                "does not exist in the role's account",
                id="another account's managed policy",
            ),
            pytest.param(
                replace(NIGHT, policy_arns=(f"arn:aws:iam::{ACCOUNT}:policy/long",) * 3),
                LimitExceededError,
                r"Packed size of session policies and session tags consumes \d{3}% of allotted space.",
                id="more than a token holds",
            ),
        ],
    )
    def test_refuses(self, assumption: Assumption, kind: type[KmsError], words: str, people: People) -> None:
        people.add_managed_policy(OTHER_ACCOUNT, "other", document(allow("kms:*")))
        people.add_managed_policy(ACCOUNT, "long", document(allow("kms:*", Sid="x" * 6_000)))
        with pytest.raises(kind, match=words):
            assume(people, assumption)

    def test_session_policies_are_kept_as_they_were(self, people: People) -> None:
        inline, managed = document(allow("kms:Encrypt")), document(allow("kms:Decrypt"))
        policy_arn = people.add_managed_policy(ACCOUNT, "one", managed)
        assumed = assume(people, replace(NIGHT, policy=inline, policy_arns=(policy_arn,)))
        people.directory.set_managed_policy_text(policy_arn, document(allow("kms:*")))
        policies = begun(people, assumed).own.session
        assert [policy.text for policy in policies] == [inline, managed]
        assert {policy.kind for policy in policies} == {PolicyKind.SESSION}
        assert assumed.packed_percent is not None

    def test_a_source_identity_is_told(self, people: People) -> None:
        assumed = assume(people, replace(NIGHT, source_identity="ann"))
        session = begun(people, assumed).session
        assert session is not None
        assert (assumed.source_identity, session.source_identity) == ("ann", "ann")


class TestChains:
    """A session of payroll that assumes audit."""

    @pytest.fixture
    def call(self, people: People) -> Call:
        people.put_trust(AUDIT_ID, trust_in({"AWS": PAYROLL}, ALL_OF_STS))
        return sts_call(begun(people, assume(people, replace(TAGGED, source_identity="ann"))))

    def test_transitive_tags_and_the_source_identity_go_on(self, call: Call, people: People) -> None:
        asked = Assumption(AUDIT, "next", tags=(Tag("New", "1"),))
        second = begun(people, people.sessions.assume_role(call, asked))
        assert second.tags == {"project": "x", "new": "1"}
        assert second.session is not None
        assert second.session.source_identity == "ann"
        people.put_trust(PAYROLL_ID, trust_in({"AWS": AUDIT}, ALL_OF_STS))
        third = begun(people, people.sessions.assume_role(sts_call(second), Assumption(PAYROLL, "third")))
        assert third.tags == {"team": "pay", "level": "1", "project": "x"}

    def test_is_noted_in_the_token(self, call: Call, people: People) -> None:
        first = assume(people).credentials
        second = people.sessions.assume_role(call, Assumption(AUDIT, "next")).credentials
        for credentials, is_chained in ((first, False), (second, True)):
            opened = people.logins._tokens.open(credentials.session_token.encode())
            assert opened is not None
            assert opened.session.is_chained is is_chained

    @pytest.mark.parametrize(
        ("assumption", "kind", "words"),
        [
            pytest.param(
                Assumption(AUDIT, "next", 3_601),
                ValidationError,
                "1 hour session limit for roles assumed by role chaining",
                id="longer than an hour",
            ),
            pytest.param(
                Assumption(AUDIT, "next", tags=(Tag("PROJECT", "y"),)),
                ValidationError,
                "conflicts with a transitive tag key from the calling session",
                id="another value for a transitive tag",
            ),
            pytest.param(
                Assumption(AUDIT, "next", source_identity="eve"),
                AccessDeniedError,
                "not authorized to perform: sts:SetSourceIdentity",
                id="somebody else",
            ),
            pytest.param(
                Assumption(AUDIT, "next", tags=tuple(Tag(f"k{n}", "") for n in range(50))),
                LimitExceededError,
                "at most 50 tags",
                id="too many tags together",
            ),
        ],
    )
    def test_refuses(
        self, assumption: Assumption, kind: type[KmsError], words: str, call: Call, people: People
    ) -> None:
        with pytest.raises(kind, match=words):
            people.sessions.assume_role(call, assumption)

    @pytest.mark.parametrize("action", ["sts:TagSession", "sts:SetSourceIdentity"])
    def test_what_goes_on_needs_leave_too(self, action: str, call: Call, people: People) -> None:
        people.put_trust(AUDIT_ID, trust_in({"AWS": PAYROLL}, [one for one in ALL_OF_STS if one != action]))
        with pytest.raises(AccessDeniedError, match=f"perform: {action} on"):
            people.sessions.assume_role(call, Assumption(AUDIT, "next"))

    def test_the_same_source_identity_again_is_no_change(self, call: Call, people: People) -> None:
        assumed = people.sessions.assume_role(call, Assumption(AUDIT, "next", source_identity="ann"))
        assert assumed.source_identity == "ann"

    def test_a_session_policy_limits_what_may_be_assumed(self, people: People) -> None:
        people.put_trust(AUDIT_ID, trust_in({"AWS": PAYROLL}))
        limited = begun(people, assume(people, replace(NIGHT, policy=document(allow("kms:*")))))
        with pytest.raises(AccessDeniedError):
            people.sessions.assume_role(sts_call(limited), Assumption(AUDIT, "next"))


class TestOnesOwn:
    @pytest.mark.parametrize(
        ("access_key_id", "asked", "seconds"),
        [
            pytest.param(ANN_KEY, None, 43_200, id="user"),
            pytest.param(ANN_KEY, 129_600, 129_600, id="user, the longest"),
            pytest.param(ROOT_KEY, None, 3_600, id="root"),
            pytest.param(ROOT_KEY, 7_200, 3_600, id="root, longer"),
            pytest.param(ROOT_KEY, 900, 900, id="root, shorter"),
        ],
    )
    def test_how_long_it_is(
        self, access_key_id: str, asked: int | None, seconds: int, people: People
    ) -> None:
        call = sts_call(people.caller(access_key_id))
        given = () if asked is None else (asked,)
        issued = people.sessions.get_session_token(call, *given)
        assert issued.expires_at == BEGINNING + timedelta(seconds=seconds)
        assert call.additional == {"issuedAccessKeyId": issued.access_key_id}

    def test_no_policy_has_a_say(self, people: People) -> None:
        people.put_policy(ANN_ID, {"Effect": "Deny", "Action": "*", "Resource": "*"})
        assert people.sessions.get_session_token(sts_call(people.caller(ANN_KEY)))

    def test_a_session_begins_no_other(self, people: People) -> None:
        issued = people.sessions.get_session_token(sts_call(people.caller(ANN_KEY)))
        own = people.session_caller(issued.access_key_id, issued.session_token)
        for caller in (own, begun(people, assume(people))):
            with pytest.raises(AccessDeniedError, match="with session credentials"):
                people.sessions.get_session_token(sts_call(caller))

    def test_a_service_has_none(self, people: People) -> None:
        with pytest.raises(AccessDeniedError, match="credentials of a service"):
            people.sessions.get_session_token(sts_call(people.caller(STORAGE_KEY)))

    def test_it_assumes_roles_as_oneself(self, people: People) -> None:
        issued = people.sessions.get_session_token(sts_call(people.caller(ANN_KEY)))
        own = people.session_caller(issued.access_key_id, issued.session_token)
        assumed = people.sessions.assume_role(sts_call(own), replace(NIGHT, duration_seconds=7_200))
        assert assumed.credentials.expires_at == BEGINNING + timedelta(hours=2)
