"""One worker's world over a real token, and what it does in a life that may be cut short."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from unittest.mock import patch

from hsmkms.config import Settings
from hsmkms.errors import KmsError
from hsmkms.formats.blob import parse_blob
from hsmkms.formats.material_id import key_material_id
from hsmkms.model.imports import WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import Key, KeyOrigin, KeyState, KeyVersion, VersionState
from hsmkms.model.names import AccountId, KeyId, Region
from hsmkms.ports.hsm import Hsm, ReadinessState
from hsmkms.ports.store import ClockworkStore, InvocationStore, KeyStore
from hsmkms.service.budget import InvocationBudget
from hsmkms.service.call import Call
from hsmkms.service.clockwork import UNFINISHED_LIFETIME, Clockwork
from hsmkms.service.epoch import StoreEpoch
from hsmkms.service.kms import Kms
from hsmkms.service.results import ImportParameters
from hsmkms.service.wrappings import WrappingNotes
from hsmkms.store import SqliteClockworkStore, SqliteInvocationStore
from hsmkms.wiring import assembly
from hsmkms.wiring.examination import examine
from tests.acceptance.mortality import (
    CLOCKWORK_READS,
    COUNTERS_READS,
    HSM_READS,
    Watched,
    WatchedKeys,
    Writes,
    announce,
)
from tests.unit.service.region import call
from tests.wrapped_material import wrap_material

REGION: Final = Region("eu-west-1")
ACCOUNT: Final = AccountId("123456789012")
MINUTE: Final = timedelta(minutes=1)
DAY: Final = timedelta(days=1)
_THERE: Final = (VersionState.ENABLED, VersionState.PENDING_ROTATION)
_LEASE_IS_OVER: Final = timedelta(seconds=31)
_PAIRS_ARE_OVER: Final = timedelta(hours=25)
_FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)

Result = TypeVar("Result")
Facts = Mapping[str, str]
"""What one life tells the next about a key: JSON."""


@dataclass
class ShiftedClock:
    """The machine's clock and its seconds, further on."""

    offset_seconds: float = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset_seconds)

    def monotonic(self) -> float:
        return time.monotonic() + self.offset_seconds

    def advance(self, by: timedelta) -> None:
        """Let time pass, and let the parent know: no later life may begin before."""
        self.offset_seconds += by.total_seconds()
        announce(offset=self.offset_seconds)


@dataclass(frozen=True)
class Ciphertext:
    """What was encrypted and answered, and therefore has to be opened for ever."""

    key_id: KeyId
    blob: bytes

    @property
    def plaintext(self) -> bytes:
        """What was encrypted."""
        return self.key_id.encode()


@dataclass
class World:
    """One worker's service, and what earlier ones promised.

    Attributes:
        keys, hsm: the real ones; the service's are watched.
        softhsm: where the token's files are.
        foreseen_objects: how many of the token's objects are no version's and no import pair's.
        ciphertexts: everything that was answered so far.
        pairs: that this life made; making one takes the token a while.
    """

    settings: Settings
    clock: ShiftedClock
    kms: Kms
    clockwork: Clockwork
    keys: KeyStore
    hsm: Hsm
    softhsm: Path
    foreseen_objects: int = 0
    ciphertexts: list[Ciphertext] = field(default_factory=list)
    pairs: dict[tuple[KeyId, WrappingAlgorithm], ImportParameters] = field(default_factory=dict)

    # --- asking -------------------------------------------------------------------------------------------

    def ask(self, operation: str, act: Callable[[Call], Result]) -> Result:
        """The answer of a call of the account's root, as it is given once its record is written."""
        asked = call(operation, ACCOUNT, read_only=False)
        return self.kms.audited(asked, lambda: act(asked), lambda error: type(error).__name__)

    def new_key(self, origin: KeyOrigin = KeyOrigin.AWS_KMS) -> KeyId:
        """A new key."""
        key = self.ask(
            "CreateKey", lambda call: self.kms.create_key(call, description="", tags=(), origin=origin)
        )
        return key.key_id

    def encrypt(self, key_id: KeyId) -> Ciphertext:
        """Something encrypted."""
        answer = self.ask(
            "Encrypt", lambda call: self.kms.encrypt(call, key_id, key_id.encode(), {}, dry_run=False)
        )
        return Ciphertext(key_id, answer.ciphertext_blob)

    def seal(self, key_id: KeyId) -> Ciphertext:
        """Something encrypted; from now on it has to be opened in every life."""
        sealed = self.encrypt(key_id)
        self.ciphertexts.append(sealed)
        announce(sealed=[key_id, sealed.blob.hex()])
        version = parse_blob(sealed.blob).material_id
        assert version == self.key(key_id).current_material_id
        return sealed

    def open(self, sealed: Ciphertext) -> None:
        """Decrypt; a refusal is an error of the test."""
        answer = self.ask(
            "Decrypt", lambda call: self.kms.decrypt(call, sealed.blob, {}, key_ref=None, dry_run=False)
        )
        assert answer.plaintext == sealed.plaintext

    def rotate(self, key_id: KeyId) -> None:
        """A rotation on demand; what is encrypted afterwards is under the new version."""
        before = self.key(key_id).current_material_id
        self.ask("RotateKeyOnDemand", lambda call: self.kms.rotate_key_on_demand(call, key_id))
        assert self.key(key_id).current_material_id != before

    def parameters(self, key_id: KeyId, algorithm: WrappingAlgorithm) -> ImportParameters:
        """A pair to wrap material under."""
        return self.ask(
            "GetParametersForImport",
            lambda call: self.kms.parameters_for_import(call, key_id, algorithm, WrappingKeySpec.RSA_2048),
        )

    def bring(self, key_id: KeyId, material: str, algorithm: WrappingAlgorithm, **more: Any) -> None:
        """Import material (in hexadecimal digits), under a pair of before if there is a good one."""
        facts = self.wrapped(key_id, material, algorithm)
        self.import_wrapped(
            key_id, bytes.fromhex(facts["import_token"]), bytes.fromhex(facts["wrapped"]), **more
        )

    def wrapped(self, key_id: KeyId, material: str, algorithm: WrappingAlgorithm) -> Facts:
        """Material on its way in, for this life or the next."""
        parameters = self.pairs.get((key_id, algorithm))
        if parameters is None or parameters.expires_at <= self.clock.now():
            parameters = self.pairs[key_id, algorithm] = self.parameters(key_id, algorithm)
        wrapped = wrap_material(parameters.public_key, algorithm, bytes.fromhex(material))
        return {"import_token": parameters.import_token.hex(), "wrapped": wrapped.hex()}

    def import_wrapped(self, key_id: KeyId, import_token: bytes, wrapped: bytes, **more: Any) -> None:
        """Import material that is wrapped already."""
        particulars = {"import_type": None, "key_material_id": None, "expires_at": None, "description": None}
        self.ask(
            "ImportKeyMaterial",
            lambda call: self.kms.import_key_material(
                call,
                key_id,
                import_token=import_token,
                encrypted_material=wrapped,
                **cast("Any", particulars | more),
            ),
        )

    def delete_material(self, key_id: KeyId, version: KeyVersion) -> None:
        """Delete imported material."""
        name = key_material_id(key_id, version.material_id)
        self.ask(
            "DeleteImportedKeyMaterial",
            lambda call: self.kms.delete_imported_key_material(call, key_id, name),
        )

    # --- looking ------------------------------------------------------------------------------------------

    def key(self, key_id: KeyId) -> Key:
        """A key that has to be there."""
        return self.keys.snapshot().keys[key_id]

    def versions(self, key_id: KeyId, state: VersionState) -> Sequence[KeyVersion]:
        """A key's versions in a state."""
        return [version for version in self.key(key_id).all_versions.values() if version.state is state]

    def problems(self) -> Sequence[str]:
        """What ``hsmkms doctor`` says; its own login, its own look at the token."""
        return examine(self.settings).problems

    def refuses(self, sealed: Ciphertext) -> bool:
        """Whether a ciphertext cannot be opened, as is right while material is away."""
        try:
            self.open(sealed)
        except KmsError:
            return True
        return False

    # --- time ---------------------------------------------------------------------------------------------

    def wait_for(self, moment: datetime) -> None:
        """Let time pass until shortly after a moment, observed up to shortly before it; do nothing then."""
        self.clock.advance(_LEASE_IS_OVER)
        self.round()
        self.clock.advance(moment - self.clock.now() - 2 * MINUTE)
        self.round()
        self.clock.advance(3 * MINUTE)

    def round(self) -> None:
        """One round of the clockwork, whose turn it is."""
        assert self.clockwork.round()

    def settle(self) -> None:
        """Let the clockwork finish what a life before this one left: a day goes by."""
        self.clock.advance(_LEASE_IS_OVER)
        self.round()
        self.clock.advance(UNFINISHED_LIFETIME + MINUTE)
        self.round()
        self.clock.advance(_PAIRS_ARE_OVER)
        self.round()

    # --- what always holds --------------------------------------------------------------------------------

    def require_promises(self, *, but_of: KeyId | None = None) -> None:
        """Everything that was encrypted and answered is opened.

        Args:
            but_of: a key whose material may be away.
        """
        for sealed in self.ciphertexts:
            if sealed.key_id != but_of:
                self.open(sealed)

    def require_whole(self) -> None:
        """Nothing is half there: rows, objects and files are exactly those of the versions that serve."""
        assert self.keys.unfinished_versions(_FOR_EVER) == []
        assert self.keys.condemned() == []
        assert [grave for grave in self.keys.tombstones() if grave.destroyed_at is None] == []
        keys = self.keys.snapshot().keys.values()
        versions = [version for key in keys for version in key.all_versions.values()]
        there = {(v.material_id, v.key_id) for v in versions if v.state in _THERE}
        held = [(material.material_id, material.key_id) for material in self.hsm.list_materials()]
        assert sorted(held) == sorted(there)
        with closing(sqlite3.connect(self.settings.store.keys_file(REGION))) as raw:
            states = {state for (state,) in raw.execute("SELECT state FROM keys")}
            (rows,) = raw.execute("SELECT count(*) FROM key_versions").fetchone()
        assert KeyState.CREATING not in states
        assert rows == len(versions)
        own_objects = self.own_objects()
        assert own_objects == self.foreseen_objects, f"{own_objects}, not {self.foreseen_objects}"

    def own_objects(self) -> int:
        """How many objects the token holds besides versions and import pairs, told by SoftHSM's files."""
        files = [path for path in self.softhsm.rglob("*.object") if path.name != "token.object"]
        with closing(sqlite3.connect(self.settings.store.keys_file(REGION))) as raw:
            (pairs,) = raw.execute(
                "SELECT count(*) FROM import_pairs WHERE sealed_private_key IS NULL"
            ).fetchone()
        return len(files) - len(self.hsm.list_materials()) - int(pairs)

    def keys_not_met(self) -> Sequence[KeyId]:
        """Keys with no ciphertext yet."""
        known = {sealed.key_id for sealed in self.ciphertexts}
        return [key_id for key_id in self.keys.snapshot().keys if key_id not in known]

    def meet_new_keys(self) -> Sequence[KeyId]:
        """Keys with no ciphertext yet: they are whole, and serve from now on like any other."""
        strangers = self.keys_not_met()
        for key_id in strangers:
            key = self.key(key_id)
            assert (key.state, len(key.all_versions)) == (KeyState.ENABLED, 1)
            self.open(self.seal(key_id))
        return strangers


def open_world(config: Settings, softhsm: Path, clock: ShiftedClock, writes: Writes) -> World:
    """A worker as ``serve`` builds it, in this process's own time, and with its writes watched."""
    # Everything has the one clock: the token room, the stores' dates, doctor.
    patch.object(assembly, "SystemClock", lambda: clock).start()
    service = assembly.build_service(config)
    token_hsm = service.tokens.hsms[REGION]
    assert token_hsm.connect().state is ReadinessState.READY
    plain = service.regions[REGION]
    hsm = cast("Hsm", Watched(plain.hsm, writes, HSM_READS))
    keys = cast("KeyStore", WatchedKeys(plain.keys, writes))
    counters = cast(
        "InvocationStore",
        Watched(SqliteInvocationStore(config.store, REGION), writes, COUNTERS_READS),
    )
    turns = cast(
        "ClockworkStore", Watched(SqliteClockworkStore(config.store, REGION), writes, CLOCKWORK_READS)
    )
    epoch = StoreEpoch(REGION, hsm, counters, keys, plain.trail, clock)
    kms = replace(
        plain,
        hsm=hsm,
        keys=keys,
        budget=InvocationBudget(counters, epoch, config.lifecycle.encryption_limits),
        wrappings=WrappingNotes(keys, clock),
        epoch=epoch,
        time=turns,
    )
    kms.epoch.require_known()
    return World(config, clock, kms, Clockwork(kms, counters), plain.keys, plain.hsm, softhsm)
