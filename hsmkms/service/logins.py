"""Logins: whose signature a request has to carry, and who calls once it is proven.

Everything is asked of the directory's newest snapshot, at every request: who was disabled is nobody from then
on. What is remembered is bound to the very things of the snapshot from which it was made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hsmkms.authn import derive_signing_key
from hsmkms.errors import ExpiredCredentialsError, UnrecognizedCredentialsError
from hsmkms.model.identities import AccessKey, IdentityKind, Service, Status
from hsmkms.model.names import AccountId
from hsmkms.ports.clock import Clock
from hsmkms.ports.directory import Directory, DirectorySnapshot, Identity
from hsmkms.service.call import Caller, Session
from hsmkms.service.callers import (
    RoleSession,
    active_identity,
    role_caller,
    root_caller,
    service_caller,
    user_caller,
)
from hsmkms.service.delegation import Delegation, delegated_caller
from hsmkms.service.identity_secrets import IdentitySecrets
from hsmkms.service.session_tokens import OpenedToken, SessionTokens

TEMPORARY_PREFIX: Final = "ASIA"
"""What the ids of temporary credentials begin with; nobody logs in with one of them and no session token."""

_CACHED_SIGNING_KEYS: Final = 10_000
_CACHED_CALLERS: Final = 10_000

_Bearer = Identity | Service | AccountId
_Scope = tuple[str, str, str]


class Logins:
    """Who signs, with which secret, for all regions. Thread-safe."""

    def __init__(self, directory: Directory, secrets: IdentitySecrets, clock: Clock) -> None:
        self._directory = directory
        self._secrets = secrets
        self._clock = clock
        self._tokens = SessionTokens(secrets)
        # By access key id and credential scope; the sealed secret tells a key that was replaced.
        self._signing_keys: dict[tuple[str, _Scope], tuple[bytes, bytes]] = {}
        # By access key id, with the access key or token, and the bearer, from which the caller was made.
        self._callers: dict[str, tuple[AccessKey | OpenedToken, _Bearer, Caller]] = {}

    def signing_key(self, access_key_id: str, date: str, region: str, service: str) -> tuple[Caller, bytes]:
        """Whose access key that is, and the SigV4 signing key of one credential scope.

        A service comes as itself, calling for nobody; see ``calling_for``.

        Raises:
            UnrecognizedCredentialsError: no such key, it is disabled, or whoever bears it is; or it is the id
                of temporary credentials.
            KeyUnavailableError: no region's token is there to open the secret.
            ServiceFaultError: the secret does not open.
        """
        snapshot = self._directory.snapshot()
        access_key = snapshot.access_keys.get(access_key_id)
        if (
            access_key is None
            or access_key.status is not Status.ACTIVE
            or access_key_id.startswith(TEMPORARY_PREFIX)
        ):
            raise UnrecognizedCredentialsError
        bearer = _bearer(snapshot, access_key)
        caller = self._caller(access_key_id, access_key, bearer, lambda: _in_person(access_key_id, bearer))
        scope = (date, region, service)
        signing_key = self._kept_signing_key(access_key_id, scope, access_key.sealed_secret)
        if signing_key is None:
            secret = self._secrets.secret_of(access_key)
            signing_key = self._new_signing_key(access_key_id, scope, access_key.sealed_secret, secret)
        return caller, signing_key

    def session_signing_key(
        self, session_token: bytes, access_key_id: str, date: str, region: str, service: str
    ) -> tuple[Caller, bytes]:
        """The same for temporary credentials.

        Raises:
            UnrecognizedCredentialsError: no session token of ours or not of this access key, or its role or
                user is disabled or gone.
            ExpiredCredentialsError: its time is over.
            KeyUnavailableError: no region's token is there to open the session token.
        """
        opened = self._tokens.open(session_token)
        if opened is None or opened.session.access_key_id != access_key_id:
            raise UnrecognizedCredentialsError
        session = opened.session
        bearer = _bearer_of_session(self._directory.snapshot(), opened)
        if self._clock.now() >= session.expires_at:
            raise ExpiredCredentialsError
        caller = self._caller(access_key_id, opened, bearer, lambda: _in_session(opened, bearer))
        scope = (date, region, service)
        secret = session.secret_access_key
        witness = secret.encode()
        signing_key = self._kept_signing_key(access_key_id, scope, witness)
        return caller, signing_key or self._new_signing_key(access_key_id, scope, witness, secret)

    def calling_for(self, signer: Caller, delegation: Delegation) -> Caller:
        """The caller, where a service signed and says for whom it calls; see ``delegation``.

        Raises:
            AccessDeniedError: the signer is no service, or cannot call for that one.
        """
        return delegated_caller(self._directory.snapshot(), signer, delegation, self._clock.now())

    def _caller(
        self,
        access_key_id: str,
        credential: AccessKey | OpenedToken,
        bearer: _Bearer,
        make: Callable[[], Caller],
    ) -> Caller:
        known = self._callers.get(access_key_id)
        if known is not None and known[0] is credential and known[1] is bearer:
            return known[2]
        caller = make()
        if len(self._callers) >= _CACHED_CALLERS:
            self._callers.clear()
        self._callers[access_key_id] = (credential, bearer, caller)
        return caller

    def _kept_signing_key(self, access_key_id: str, scope: _Scope, witness: bytes) -> bytes | None:
        kept = self._signing_keys.get((access_key_id, scope))
        return kept[1] if kept is not None and kept[0] == witness else None

    def _new_signing_key(self, access_key_id: str, scope: _Scope, witness: bytes, secret: str) -> bytes:
        signing_key = derive_signing_key(secret, *scope)
        if len(self._signing_keys) >= _CACHED_SIGNING_KEYS:
            self._signing_keys.clear()
        self._signing_keys[access_key_id, scope] = (witness, signing_key)
        return signing_key


def _bearer(snapshot: DirectorySnapshot, access_key: AccessKey) -> _Bearer:
    """Who bears an access key, if that one may log in."""
    account, principal_id = access_key.account, access_key.principal_id
    bearer: _Bearer | None
    if account is None:
        bearer = snapshot.services.get(principal_id)
        if bearer is not None and bearer.status is not Status.ACTIVE:
            bearer = None
    elif principal_id == account:
        bearer = account if account in snapshot.accounts else None
    else:
        user = active_identity(snapshot, principal_id, IdentityKind.USER)
        bearer = user if user is not None and user.row.account == account else None
    if bearer is None:
        raise UnrecognizedCredentialsError
    return bearer


def _in_person(access_key_id: str, bearer: _Bearer) -> Caller:
    if isinstance(bearer, Identity):
        return user_caller(bearer, access_key_id)
    if isinstance(bearer, Service):
        return service_caller(bearer, access_key_id)
    return root_caller(bearer, access_key_id)


def _bearer_of_session(snapshot: DirectorySnapshot, opened: OpenedToken) -> _Bearer:
    """Whose session it is, if somebody may act as that one."""
    session = opened.session
    bearer: _Bearer | None
    if session.session_name is not None:
        bearer = active_identity(snapshot, session.principal_id, IdentityKind.ROLE)
    elif session.principal_id in snapshot.accounts:
        bearer = AccountId(session.principal_id)
    else:
        bearer = active_identity(snapshot, session.principal_id, IdentityKind.USER)
    if bearer is None:
        raise UnrecognizedCredentialsError
    return bearer


def _in_session(opened: OpenedToken, bearer: _Bearer) -> Caller:
    session = opened.session
    if not isinstance(bearer, Identity):
        return root_caller(AccountId(session.principal_id), session.access_key_id, Session(session.issued_at))
    if session.session_name is None:
        return user_caller(bearer, session.access_key_id, Session(session.issued_at))
    tags = {tag.key: tag.value for tag in session.tags}
    transitive_tags = {tag.key: tag.value for tag in session.tags if tag.is_transitive}
    facts = RoleSession(session.issued_at, bearer.row.name, session.source_identity, transitive_tags)
    return role_caller(bearer, session.session_name, session.access_key_id, facts, opened.policies, tags)
