"""Who there is: accounts, users, roles, their policies and tags, services, and all access keys.

What an operator does with the ``hsmkms`` command; nothing of it is reached over the wire.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from hsmkms.errors import NotFoundError, ValidationError
from hsmkms.model.identities import AccessKey, IdentityKind, IdentityRow, ManagedPolicy, Service, Status
from hsmkms.model.names import AccountId
from hsmkms.policy.binding import bind_principals
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.parsing import parse_policy
from hsmkms.policy.sizes import MANAGED_POLICY_CHARACTERS, TRUST_POLICY_CHARACTERS
from hsmkms.policy.stored import StoredPolicy
from hsmkms.ports.clock import Clock
from hsmkms.ports.directory import Directory, Identity, InlinePolicy
from hsmkms.service import identity_rules as rules
from hsmkms.service.identity_secrets import IdentitySecrets
from hsmkms.service.logins import TEMPORARY_PREFIX

ACCESS_KEY_ID_PATTERN: Final = re.compile(r"[A-Z0-9]{16,128}")
SECRET_PATTERN: Final = re.compile(r"[A-Za-z0-9/+=_-]{16,128}")

DEFAULT_SESSION_SECONDS: Final = 3_600
_ID_PREFIXES: Final = {IdentityKind.USER: "AIDA", IdentityKind.ROLE: "AROA"}
_ID_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def require_access_key_form(access_key_id: str, secret: str) -> None:
    """Refuse what cannot be an access key.

    Raises:
        ValidationError: not the form of an access key id or of a secret; the secret is not repeated.
    """
    if access_key_id.startswith(TEMPORARY_PREFIX):
        raise ValidationError(f"{TEMPORARY_PREFIX} begins the ids of temporary credentials")
    if ACCESS_KEY_ID_PATTERN.fullmatch(access_key_id) is None:
        raise ValidationError("An access key id is 16 to 128 capital letters and digits")
    if SECRET_PATTERN.fullmatch(secret) is None:
        raise ValidationError("A secret access key is 16 to 128 characters of A-Z a-z 0-9 / + = _ -")


class Accounts:
    """Changes of the identity store, each of them checked first. Thread-safe.

    Users and roles are named by unique id. Besides what is said, every method raises what the method of
    ``Directory`` that it ends in raises: ``NotFoundError``, ``AlreadyExistsError``, ``LimitExceededError``.
    What depends on what is there already is checked there alone, so that no other operator comes between.
    """

    def __init__(self, directory: Directory, identity_secrets: IdentitySecrets, clock: Clock) -> None:
        """Set up; only access keys need the secrets to be unlocked."""
        self._directory = directory
        self._secrets = identity_secrets
        self._clock = clock

    # --- accounts and access keys ------------------------------------------------------------------------

    def register_account(self, account: AccountId) -> None:
        """Register an account; one that is there already is no error.

        Raises:
            ValidationError: it is no account id.
        """
        rules.require_account_id(account)
        self._directory.add_account(account, self._clock.now())

    def establish(self, account: AccountId) -> None:
        """Register an account and see to it that every region can open the identity store."""
        self.register_account(account)
        self._secrets.establish()

    def create_access_key(self, principal_id: str, account: AccountId | None) -> tuple[AccessKey, str]:
        """Make an access key of a root (its account id), a user or a service; its secret is shown this once.

        Raises:
            KeyUnavailableError: the secrets are locked.
        """
        access_key_id = "AKIA" + base64.b32encode(secrets.token_bytes(10)).decode("ascii")
        secret = base64.b64encode(secrets.token_bytes(30)).decode("ascii")
        return self.import_access_key(principal_id, account, access_key_id, secret), secret

    def import_access_key(
        self, principal_id: str, account: AccountId | None, access_key_id: str, secret: str
    ) -> AccessKey:
        """Register an access key that exists elsewhere.

        Raises:
            ValidationError: not the form of an access key id or of a secret; the secret is not repeated.
            KeyUnavailableError: the secrets are locked.
        """
        require_access_key_form(access_key_id, secret)
        access_key = AccessKey(
            access_key_id=access_key_id,
            account=account,
            principal_id=principal_id,
            status=Status.ACTIVE,
            sealed_secret=self._secrets.seal_secret(access_key_id, secret),
            created_at=self._clock.now(),
        )
        self._directory.add_access_key(access_key)
        return access_key

    # --- users and roles ---------------------------------------------------------------------------------

    def identity(self, arn: str) -> Identity:
        """The user or role of an ARN.

        Raises:
            NotFoundError: there is none.
        """
        snapshot = self._directory.snapshot()
        unique_id = snapshot.id_of(arn)
        if unique_id is None:
            raise NotFoundError(f"There is no user or role {arn}.")
        return snapshot.identities[unique_id]

    def create_user(
        self, account: AccountId, name: str, tags: Mapping[str, str] | None = None
    ) -> IdentityRow:
        """Add a user, who may do nothing yet.

        Raises:
            ValidationError, TagError: the name or a tag is none.
        """
        return self._create(IdentityKind.USER, account, name, tags or {}, None, None)

    def create_role(
        self,
        account: AccountId,
        name: str,
        trust_text: str,
        max_session_seconds: int = DEFAULT_SESSION_SECONDS,
        tags: Mapping[str, str] | None = None,
    ) -> IdentityRow:
        """Add a role, which may do nothing yet.

        Raises:
            ValidationError, TagError: the name, a tag or the length of a session is none.
            MalformedPolicyDocumentError: no trust policy, or one that names somebody who does not exist.
        """
        rules.require_session_seconds(max_session_seconds)
        trust = self._trust(trust_text)
        return self._create(IdentityKind.ROLE, account, name, tags or {}, max_session_seconds, trust)

    def set_trust_policy(self, unique_id: str, trust_text: str) -> None:
        """Replace a role's trust policy; it means those who bear its principals' names now.

        Raises:
            MalformedPolicyDocumentError: no trust policy, or one that names somebody who does not exist.
        """
        self._directory.set_trust(unique_id, self._trust(trust_text))

    def delete(self, unique_id: str) -> Sequence[str]:
        """Forget a user or a role for good, and with it all that is its own.

        Returns:
            Ids of the access keys that went with it.
        """
        access_key_ids = self.access_keys_of(unique_id)
        self._directory.remove_identity(unique_id)
        return access_key_ids

    def access_keys_of(self, principal_id: str) -> Sequence[str]:
        """Ids of a principal's access keys, disabled ones included, in order."""
        access_keys = self._directory.snapshot().access_keys.values()
        return sorted(key.access_key_id for key in access_keys if key.principal_id == principal_id)

    def set_status(self, unique_id: str, status: Status) -> None:
        """Enable or disable a user or a role, in every process at once; sessions of theirs included."""
        self._directory.set_identity_status(unique_id, status)

    def change_tags(
        self, unique_id: str, added: Mapping[str, str], removed: Iterable[str] = ()
    ) -> Mapping[str, str]:
        """Add tags to a user or role, in place of those of the same key, and take others away by their keys.

        Returns:
            All its tags from now on.

        Raises:
            ValidationError, TagError: a tag that is added is none.
        """
        rules.require_tags(added)
        return self._directory.change_identity_tags(unique_id, added, removed, rules.TAGS_PER_IDENTITY)

    # --- policies ----------------------------------------------------------------------------------------

    def put_inline_policy(self, unique_id: str, name: str, text: str) -> None:
        """Add an inline policy, or replace the one of that name.

        Raises:
            ValidationError: the name is none.
            MalformedPolicyDocumentError: the text is no identity-based policy.
        """
        rules.require_policy_name(name)
        rules.require_identity_policy(text)
        limit_characters = rules.INLINE_POLICY_CHARACTERS[self._row(unique_id).kind]
        self._directory.put_inline_policy(unique_id, InlinePolicy(name, text), limit_characters)

    def delete_inline_policy(self, unique_id: str, name: str) -> None:
        """Remove an inline policy."""
        self._directory.remove_inline_policy(unique_id, name)

    def create_policy(self, account: AccountId, name: str, text: str) -> ManagedPolicy:
        """Add a managed policy, which nobody bears yet.

        Raises:
            ValidationError: the name is none.
            MalformedPolicyDocumentError: the text is no identity-based policy.
        """
        rules.require_policy_name(name)
        _require_managed_policy(text)
        policy = ManagedPolicy(account, name, text, self._clock.now())
        self._directory.add_managed_policy(policy)
        return policy

    def update_policy(self, policy_arn: str, text: str) -> None:
        """Give a managed policy another text, for all who bear it at once.

        Raises:
            MalformedPolicyDocumentError: the text is no identity-based policy.
        """
        _require_managed_policy(text)
        self._directory.set_managed_policy_text(policy_arn, text)

    def managed_policy(self, policy_arn: str) -> ManagedPolicy:
        """The managed policy of an ARN.

        Raises:
            NotFoundError: there is none.
        """
        for policy in self._directory.managed_policies(None):
            if policy.arn == policy_arn:
                return policy
        raise NotFoundError(f"There is no policy {policy_arn}.")

    def delete_policy(self, policy_arn: str) -> None:
        """Remove a managed policy that nobody bears any more."""
        self._directory.remove_managed_policy(policy_arn)

    def attach_policy(self, unique_id: str, policy_arn: str) -> None:
        """Let a user or role bear a managed policy of its account."""
        self._directory.attach_policy(unique_id, policy_arn, rules.ATTACHED_POLICIES)

    def detach_policy(self, unique_id: str, policy_arn: str) -> None:
        """Undo ``attach_policy``."""
        self._directory.detach_policy(unique_id, policy_arn)

    # --- services ----------------------------------------------------------------------------------------

    def add_service(self, name: str, alias: str | None = None) -> Service:
        """Register a service; its keys are named after its name's first part unless told otherwise.

        Raises:
            ValidationError: the name or the alias is none.
        """
        service = Service(name, alias or name.partition(".")[0], Status.ACTIVE, self._clock.now())
        rules.require_service(service.name, service.alias)
        self._directory.add_service(service)
        return service

    def set_service_status(self, name: str, status: Status) -> None:
        """Enable or disable a service, in every process at once."""
        self._directory.set_service_status(name, status)

    def remove_service(self, name: str) -> Sequence[str]:
        """Forget a service.

        Returns:
            Ids of the access keys that went with it.
        """
        access_key_ids = self.access_keys_of(name)
        self._directory.remove_service(name)
        return access_key_ids

    def _create(
        self,
        kind: IdentityKind,
        account: AccountId,
        name: str,
        tags: Mapping[str, str],
        max_session_seconds: int | None,
        trust: StoredPolicy | None,
    ) -> IdentityRow:
        rules.require_identity_name(name)
        rules.require_tags(tags)
        unique_id = _ID_PREFIXES[kind] + "".join(secrets.choice(_ID_LETTERS) for _ in range(17))
        row = IdentityRow(
            account, kind, name, unique_id, Status.ACTIVE, self._clock.now(), max_session_seconds
        )
        self._directory.add_identity(row, tags, trust)
        return row

    def _trust(self, text: str) -> StoredPolicy:
        policy = parse_policy(text, PolicyKind.TRUST)
        rules.require_size(text, TRUST_POLICY_CHARACTERS, "A role has no trust policy")
        return StoredPolicy(PolicyKind.TRUST, text, bind_principals(policy, self._directory.snapshot()))

    def _row(self, unique_id: str) -> IdentityRow:
        identity = self._directory.snapshot().identities.get(unique_id)
        if identity is None:
            raise NotFoundError(f"There is no user or role {unique_id}.")
        return identity.row


def _require_managed_policy(text: str) -> None:
    rules.require_identity_policy(text)
    rules.require_size(text, MANAGED_POLICY_CHARACTERS, "There is no managed policy")
