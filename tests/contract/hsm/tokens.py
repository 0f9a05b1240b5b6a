"""Throw-away SoftHSM tokens in the tests' own process, each with a module of its own.

PKCS#11 state and SOFTHSM2_CONF belong to a loaded library, so every test that needs a state of its own loads
a copy of the library file: to the loader, another path is another library.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hsmkms.hsm import Modules, Pin, TokenHsm, TokenSettings, initialize_softhsm_token, prepare_token
from hsmkms.model.imports import ImportPair, WrappingAlgorithm, WrappingKeySpec
from hsmkms.model.keys import KeyOrigin, KeyVersion, VersionState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import Hsm
from tests.faultshim import SOFTHSM_MODULE, FaultShim
from tests.wrapped_material import wrap_material

LABEL = "contract"
PIN = Pin("user-1234")
SO_PIN = Pin("officer-5678")


class Clock:
    """The machine's clocks, and as much more as a test lets pass."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_seconds


def require_softhsm() -> None:
    """Skip without SoftHSM, aloud; fail where it must be there."""
    if SOFTHSM_MODULE.exists():
        return
    if os.environ.get("CI"):
        pytest.fail(f"CI must have SoftHSM: {SOFTHSM_MODULE} is missing")
    pytest.skip(f"SoftHSM is not installed: {SOFTHSM_MODULE} is missing")


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of the process for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass
class Bench:
    """A prepared SoftHSM token, and what is needed to reach it; ``shim`` stands before it if there is one."""

    directory: Path
    settings: TokenSettings
    modules: Modules
    clock: Clock
    shim: FaultShim | None

    @property
    def tokens_directory(self) -> Path:
        return self.directory / "tokens"

    def hsm(self, pin: Pin = PIN, **changes: Any) -> TokenHsm:
        """A new ``TokenHsm``, not connected yet; ``changes`` to the settings."""
        settings = TokenSettings(**{**self.settings.model_dump(), **changes})
        return TokenHsm(settings, pin, self.modules, self.clock)

    def beside(self) -> Bench:
        """The same token through another copy of the library: to SoftHSM, from another process."""
        library = self.directory / "beside.so"
        shutil.copy(self.settings.module_path, library)
        settings = self.settings.model_copy(update={"module_path": library})
        with environment(settings.environment):
            modules = Modules()
            modules.load(library)
        return replace(self, settings=settings, modules=modules)

    def ready(self, **changes: Any) -> TokenHsm:
        """A connected one."""
        hsm = self.hsm(**changes)
        hsm.connect()
        hsm.require_ready()
        return hsm


def make_bench(
    directory: Path, shim_module: Path | None = None, *, numbers_start_again: bool = False
) -> Bench:
    """A fresh token in a directory of its own, prepared, and nothing loaded that other tests use."""
    require_softhsm()
    (directory / "tokens").mkdir(parents=True)
    configuration = directory / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {directory / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    library = Path(shutil.copy(SOFTHSM_MODULE, directory / "libsofthsm2.so"))
    variables = {"SOFTHSM2_CONF": str(configuration)}
    shim = None
    if shim_module is not None:
        files = directory / "shim"
        files.mkdir()
        shim = FaultShim(
            Path(shutil.copy(shim_module, directory / "faultshim.so")),
            files,
            real_module=library,
            record=True,
            numbers_start_again=numbers_start_again,
        )
        library = shim.module
        variables |= shim.environment
    settings = TokenSettings(
        module_path=library,
        token_label=LABEL,
        profile="softhsm",
        environment=variables,
        pin_refused_marker=directory / "pin-refused",
    )
    modules, clock = Modules(), Clock()
    with environment(variables):
        initialize_softhsm_token(settings, SO_PIN, PIN, modules)
        prepare_token(settings, PIN, modules, clock)
    return Bench(directory, settings, modules, clock, shim)


def new_version(hsm: Hsm, key_id: KeyId, material_id: MaterialId | None = None) -> KeyVersion:
    """A version of a key with its object in the token."""
    material_id = material_id or MaterialId(os.urandom(16))
    check_value = hsm.create_material(key_id, material_id)
    now = datetime.now(UTC)
    return KeyVersion(key_id, material_id, VersionState.ENABLED, check_value, now, now)


def wrapping(hsm: Hsm) -> bytes:
    """What the token wraps data keys under; it must wrap them."""
    assert hsm.wrapping_id is not None
    return hsm.wrapping_id


def materials(hsm: TokenHsm) -> set[bytes]:
    """The material ids of the version objects in the token."""
    return {material.material_id for material in hsm.list_materials()}


def all_objects(hsm: TokenHsm) -> int:
    """How many objects of any class the token holds, the process's session objects included."""
    with hsm._connection.link.pool.borrow() as session:
        return len(session.find_objects({}))


def new_pair(
    hsm: Hsm, algorithm: WrappingAlgorithm, key_spec: WrappingKeySpec = WrappingKeySpec.RSA_2048
) -> Travel:
    """A pair, and what an importer needs of it."""
    pair_id = os.urandom(16)
    made = hsm.create_import_pair(pair_id, algorithm, key_spec)
    expires_at = datetime.now(UTC) + timedelta(days=1)
    pair = ImportPair(
        pair_id, KeyId(str(uuid.uuid4())), algorithm, key_spec, made.sealed_private_key, expires_at
    )
    return Travel(pair, made.public_key)


@dataclass(frozen=True)
class Travel:
    """A pair and its public key."""

    pair: ImportPair
    public_key: bytes

    def wrap(self, material: bytes) -> bytes:
        return wrap_material(self.public_key, self.pair.algorithm, material)


def imported(hsm: Hsm, travel: Travel, material: bytes, key_id: KeyId) -> KeyVersion:
    """A version of the material, with its object in the token."""
    material_id = MaterialId(os.urandom(16))
    hsm.import_material(travel.pair, travel.wrap(material), key_id, material_id)
    now = datetime.now(UTC)
    version = KeyVersion(key_id, material_id, VersionState.ENABLED, b"", now, now, origin=KeyOrigin.EXTERNAL)
    return replace(version, check_value=hsm.make_check_value(version))
