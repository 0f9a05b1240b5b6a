"""Making things ready: what ``init`` and ``dev`` do once, and what ``serve`` checks before its workers start.

These functions make token calls, so they run in a process of their own: the supervisor never loads a module.
"""

from __future__ import annotations

import fcntl
import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hsmkms.config import Settings, read_pin
from hsmkms.hsm import (
    CkrError,
    LoginRefusedError,
    LoginUnavailableError,
    ModuleLoadError,
    ProvisionError,
    prepare_token,
)
from hsmkms.model.identities import AccessKey, Status
from hsmkms.model.names import AccountId, Region
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.store import migrate
from hsmkms.wiring.assembly import Tokens, build_service, build_tokens, token_settings


class PreparationError(Exception):
    """Something that is needed is not there or not right; the message is for the operator."""


class TokenPreparationError(PreparationError):
    """It is the token, its module or its PIN."""


class SettingsConflictError(PreparationError):
    """What was asked for does not go with what is there."""


@contextmanager
def failures_of_writing(path: Path) -> Iterator[None]:
    """Turn an OSError into a message that names the file, or ``path`` where the error names none.

    Raises:
        PreparationError: there was one.
    """
    try:
        yield
    except OSError as error:
        raise PreparationError(f"cannot write {error.filename or path}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class RootAccessKey:
    """An access key of an account's root principal, with its secret in clear for the one who asked."""

    account: AccountId
    access_key_id: str
    secret_access_key: str | None

    def __repr__(self) -> str:
        return f"<root access key {self.access_key_id} of {self.account}>"


@contextmanager
def alone_in(data: Path) -> Iterator[None]:
    """Wait until nobody else prepares this data directory, which is made if it is missing.

    Two at once would make PINs and identity store keys of which only one set is kept. Whoever calls
    ``prepare`` or ``development.lay_out`` stands in here, in a process that outlives the calls.

    Raises:
        PreparationError: the directory cannot be made or locked.
    """
    with failures_of_writing(data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data / "preparation.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with failures_of_writing(data):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_directories(settings: Settings) -> None:
    """The directories in the data directory, for the owner's eyes only.

    Raises:
        PreparationError: they cannot be made.
    """
    with failures_of_writing(settings.data):
        for directory in (settings.data / "run", settings.trail.directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def prepare(
    settings: Settings,
    account: AccountId,
    access_key: tuple[str, str] | None = None,
    *,
    reveals: bool = False,
) -> RootAccessKey:
    """Bring stores, tokens and identities to where the service can start; done again, it changes nothing.

    Called ``alone_in`` the data directory.

    Args:
        access_key: an id and secret to register; None keeps the account's first one, or makes one.
        reveals: whether the secret of one that was there already is opened too.

    Returns:
        The account's root access key; its secret only if it was made, given or revealed just now.

    Raises:
        TokenPreparationError: a token is away or refuses.
        SettingsConflictError: the access key exists with another secret, is another principal's, or is
            disabled.
        StoreVersionError, ConfigError, KmsError: as the rooms below say.
    """
    make_directories(settings)
    migrate(settings.store, tuple(settings.regions))
    tokens = build_tokens(settings)
    for region, hsm in tokens.hsms.items():
        _prepare_token(settings, region, tokens)
        require_ready(region, hsm.connect())
    tokens.accounts.establish(account)
    return _root_access_key(tokens, account, access_key, reveals=reveals)


def connect_any(settings: Settings) -> Tokens:
    """Identities that can be opened, because one of the tokens is ready at least.

    Raises:
        TokenPreparationError: every token is away or refuses; the message has each one's reason.
        ConfigError, KmsError: as the rooms below say.
    """
    tokens = build_tokens(settings)
    found = {region: hsm.connect() for region, hsm in tokens.hsms.items()}
    if not any(readiness.state is ReadinessState.READY for readiness in found.values()):
        reasons = "; ".join(f"region {region}: {readiness.reason}" for region, readiness in found.items())
        raise TokenPreparationError(reasons)
    tokens.secrets.unlock()
    return tokens


def make_service_owned_key(settings: Settings, region: Region, service_name: str, description: str) -> str:
    """Make a key that a registered service owns; its ARN.

    Raises:
        SettingsConflictError: no such region.
        TokenPreparationError: the region's token is away or refuses.
        NotFoundError: no such service.
        ConfigError, KmsError: as the rooms below say.
    """
    if region not in settings.regions:
        raise SettingsConflictError(f"there is no region {region} in the settings")
    service = build_service(settings)
    require_ready(region, service.tokens.hsms[region].connect())
    kms = service.regions[region]
    try:
        return kms.key_arn(kms.create_service_owned_key(service_name, description))
    finally:
        service.close()


def require_ready(region: Region, readiness: Readiness) -> None:
    """Refuse to go on without a region's token.

    Raises:
        TokenPreparationError: it is away or refuses.
    """
    if readiness.state is not ReadinessState.READY:
        raise TokenPreparationError(f"region {region}: {readiness.reason}")


def _prepare_token(settings: Settings, region: Region, tokens: Tokens) -> None:
    token = token_settings(settings, region)
    try:
        prepare_token(token, read_pin(region, token), tokens.modules, tokens.clock)
    except (ProvisionError, LoginRefusedError, LoginUnavailableError, ModuleLoadError, CkrError) as error:
        raise TokenPreparationError(f"region {region}: {error}") from error


def _root_access_key(
    tokens: Tokens, account: AccountId, access_key: tuple[str, str] | None, *, reveals: bool
) -> RootAccessKey:
    existing = [
        key
        for key in tokens.directory.snapshot().access_keys.values()
        if key.principal_id == account and key.status is Status.ACTIVE
    ]
    if access_key is not None:
        access_key_id, secret = access_key
        known = tokens.directory.snapshot().access_keys.get(access_key_id)
        if known is None:
            tokens.accounts.import_access_key(account, account, access_key_id, secret)
        elif known.principal_id != account or not _has_secret(tokens, known, secret):
            raise SettingsConflictError(
                f"access key {access_key_id} exists with another secret or account, or is not a root's"
            )
        elif known.status is not Status.ACTIVE:
            raise SettingsConflictError(
                f"access key {access_key_id} is disabled: use `hsmkms access-key enable`"
            )
        return RootAccessKey(account, access_key_id, secret)
    if existing:
        oldest = min(existing, key=lambda key: (key.created_at, key.access_key_id))
        secret_or_none = tokens.secrets.secret_of(oldest) if reveals else None
        return RootAccessKey(account, oldest.access_key_id, secret_or_none)
    created, secret = tokens.accounts.create_access_key(account, account)
    return RootAccessKey(account, created.access_key_id, secret)


def _has_secret(tokens: Tokens, access_key: AccessKey, secret: str) -> bool:
    return hmac.compare_digest(tokens.secrets.secret_of(access_key).encode(), secret.encode())
