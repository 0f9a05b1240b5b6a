"""A call that nobody made: what the service would decide of it, and why.

Decided over the stores as they are now, by the code that decides real calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from hsmkms.errors import NotFoundError
from hsmkms.model.actions import Action
from hsmkms.model.grants import Grant
from hsmkms.model.identities import IdentityKind, Service, Status
from hsmkms.model.keys import Key, KeyManager
from hsmkms.model.names import ALIAS_PREFIX, AccountId, KeyId, Region, alias_arn, key_arn, parse_kms_arn
from hsmkms.model.principals import service_principal
from hsmkms.policy.evaluation import CallerPolicies, Request, Verdict
from hsmkms.policy.explanation import Explanation, explain
from hsmkms.ports.directory import DirectorySnapshot
from hsmkms.ports.store import KeySnapshot
from hsmkms.service.authorization import decide_about_account, decide_about_key
from hsmkms.service.call import Call, Caller, Session
from hsmkms.service.callers import active_identity, role_caller, root_caller, service_caller, user_caller
from hsmkms.service.crypto import OF_SYMMETRIC
from hsmkms.service.delegation import Delegation, delegated_caller
from hsmkms.service.key_context import KeyContext, Particulars
from hsmkms.service.key_policies import bypass_condition
from hsmkms.service.keys import particulars_of_new_key

TAKES_CONTEXT: Final = frozenset(
    {
        *(Action.ENCRYPT, Action.DECRYPT, Action.RE_ENCRYPT_FROM, Action.RE_ENCRYPT_TO),
        *(Action.GENERATE_DATA_KEY, Action.GENERATE_DATA_KEY_WITHOUT_PLAINTEXT),
        *(Action.GENERATE_DATA_KEY_PAIR, Action.GENERATE_DATA_KEY_PAIR_WITHOUT_PLAINTEXT),
    }
)
"""Actions whose requests have an encryption context, be it empty."""

# What requests say of themselves where they leave out whatever they may.
_USUAL: Final[Mapping[Action, Mapping[str, tuple[str, ...]]]] = {
    **dict.fromkeys(TAKES_CONTEXT, OF_SYMMETRIC),
    Action.CREATE_KEY: particulars_of_new_key((), bypasses_lockout_check=False).more,
    Action.PUT_KEY_POLICY: bypass_condition(bypasses_lockout_check=False),
}
_SIMULATION: Final = "simulation"
_ROOT: Final = re.compile(r"arn:aws:iam::([0-9]{12}):root")
_SESSION: Final = re.compile(r"arn:aws:sts::([0-9]{12}):assumed-role/([^/]+)/(.+)")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        principal: an ARN of a root, user, role or session; or a service's name.
        key_ref: as in a request: key id, key ARN, alias name, alias ARN; None for what concerns no key.
        alias_name: of an alias that is made, moved or removed.
        via: the service that calls for the principal; None when it calls itself.
        encryption_context: None for an action that takes none.
        more: condition keys of the request, by name in lower case; they go before what the stores say.
    """

    principal: str
    action: Action
    key_ref: str | None = None
    alias_name: str | None = None
    via: str | None = None
    encryption_context: Mapping[str, str] | None = None
    more: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of those that the call takes.

    Attributes:
        verdict: the service's, which may have reasons beyond policies and grants.
        explanation: what policies and grants say.
    """

    resource_arn: str
    verdict: Verdict
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class Simulation:
    """A region's keys and everybody who exists, as of one moment."""

    region: Region
    directory: DirectorySnapshot
    keys: KeySnapshot
    now: datetime

    def decisions(self, question: Question) -> tuple[Call, Sequence[Decision]]:
        """All decisions that the call takes, in order; it is allowed when all of them allow it.

        Raises:
            NotFoundError: no such principal that may act, no such service, key or alias.
            InvalidArnError: a malformed ARN of a key or alias.
        """
        call = self._call(question)
        return call, list(self._decisions(call, question))

    def _decisions(self, call: Call, question: Question) -> Iterator[Decision]:
        more = {**_USUAL.get(question.action, {}), **question.more}
        particulars = Particulars(question.encryption_context, more)
        if question.alias_name is not None:
            arn = alias_arn(self.region, call.caller.account, question.alias_name)
            yield self._about_account(call, question.action, arn, particulars)
            current = self.keys.aliases.get((call.caller.account, question.alias_name))
            if current is not None:  # of an alias that is there, its key is asked too
                yield self._about_key(call, question.action, self.keys.keys[current], None, particulars)
        elif question.key_ref is None:
            yield self._about_account(call, question.action, "*", particulars)
        if question.key_ref is not None:
            key, request_alias = self._find(call.caller.account, question.key_ref)
            yield self._about_key(call, question.action, key, request_alias, particulars)

    def _about_account(self, call: Call, action: Action, arn: str, particulars: Particulars) -> Decision:
        verdict = decide_about_account(call, action, arn, particulars)
        caller = call.caller
        context = KeyContext(call, None, particulars)
        request = Request(caller.principal, action, arn, caller.account, context)
        return Decision(arn, verdict, explain(request, None, caller.own, ()))

    def _about_key(
        self, call: Call, action: Action, key: Key, request_alias: str | None, particulars: Particulars
    ) -> Decision:
        arn = key_arn(self.region, key.account, key.key_id)
        verdict = decide_about_key(call, action, self.keys, key, arn, particulars, request_alias)
        principal, own = call.caller.principal, call.caller.own
        via = call.caller.via
        if key.manager is KeyManager.OWNER and via is not None:
            principal, own = service_principal(via.name, key.account), CallerPolicies()
        context = KeyContext(call, key, particulars, request_alias)
        request = Request(principal, action, arn, key.account, context, particulars.encryption_context)
        grants = self._grants_to(key, principal.ids)
        return Decision(arn, verdict, explain(request, self.keys.policies[key.key_id], own, grants))

    def _grants_to(self, key: Key, grantee_ids: Sequence[str]) -> list[Grant]:
        """All grants of the caller for a key: those that do not suffice are told too."""
        return sorted(
            (
                grant
                for grant in self.keys.grants.by_id.values()
                if grant.key_id == key.key_id and grant.grantee.unique_id in grantee_ids
            ),
            key=lambda grant: (grant.created_at, grant.grant_id),
        )

    def _call(self, question: Question) -> Call:
        return Call(
            request_id=_SIMULATION,
            region=self.region,
            caller=self._caller(question),
            event_source="kms.amazonaws.com",
            operation=question.action.removeprefix("kms:"),
            read_only=True,
            received_at=self.now,
            source_ip="",
            user_agent="",
            request_parameters={},
            may_block=True,
            resources=[],
            additional={},
            is_secure=True,
        )

    def _caller(self, question: Question) -> Caller:
        is_service = not question.principal.startswith("arn:")
        if question.via is None and not is_service:
            return self._principal(question.principal)
        signer = service_caller(self._service(question.via or question.principal), _SIMULATION)
        account, source_arn = (
            question.more.get(key, (None,))[0] for key in ("aws:sourceaccount", "aws:sourcearn")
        )
        delegation = Delegation(None if is_service else question.principal, account, source_arn)
        return delegated_caller(self.directory, signer, delegation, self.now)

    def _principal(self, name: str) -> Caller:
        root = _ROOT.fullmatch(name)
        if root is not None and AccountId(root[1]) in self.directory.accounts:
            return root_caller(AccountId(root[1]), _SIMULATION)
        session = _SESSION.fullmatch(name)
        arn = name if session is None else f"arn:aws:iam::{session[1]}:role/{session[2]}"
        unique_id = self.directory.id_of(arn) or ""
        user = active_identity(self.directory, unique_id, IdentityKind.USER)
        if user is not None:
            return user_caller(user, _SIMULATION)
        role = active_identity(self.directory, unique_id, IdentityKind.ROLE)
        if role is None:
            raise NotFoundError(f"there is no principal {name} that may act")
        session_name = _SIMULATION if session is None else session[3]
        return role_caller(role, session_name, _SIMULATION, Session(self.now, role.row.name))

    def _service(self, name: str) -> Service:
        service = self.directory.services.get(name)
        if service is None or service.status is not Status.ACTIVE:
            raise NotFoundError(f"there is no service {name} that may act")
        return service

    def _find(self, account: AccountId, key_ref: str) -> tuple[Key, str | None]:
        """The key that a reference names, and the alias by which it does.

        A key id alone is found in whatever account it is: an operator sees all of them.
        """
        resource = key_ref
        if key_ref.startswith("arn:"):
            arn = parse_kms_arn(key_ref)
            if arn.region != self.region:
                raise NotFoundError(f"{key_ref} is of another region than {self.region}")
            account, resource = arn.account, arn.resource.removeprefix("key/")
        is_alias = resource.startswith(ALIAS_PREFIX)
        key_id = self.keys.aliases.get((account, resource)) if is_alias else KeyId(resource)
        key = None if key_id is None else self.keys.keys.get(key_id)
        if key is None or (key_ref.startswith("arn:") and key.account != account):
            raise NotFoundError(f"there is no key {key_ref} in {self.region}")
        return key, resource if is_alias else None
