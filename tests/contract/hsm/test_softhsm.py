"""What only a real token can show, without faults: the probe, settings, staleness, processes."""

from __future__ import annotations

import os
import subprocess
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsmkms.errors import KeyUnavailableError
from hsmkms.hsm import (
    ForkedError,
    ModuleLoadError,
    Modules,
    ProvisionError,
    complete_softhsm_token,
    initialize_softhsm_token,
    prepare_token,
)
from hsmkms.hsm.provision import _init_token
from hsmkms.hsm.usages import Purpose
from hsmkms.model.keys import KeyOrigin
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import CallStyle, ReadinessState
from tests.contract.hsm.tokens import PIN, SO_PIN, Bench, environment, new_version

AAD = bytes(68)
AWAY, REFUSED = ReadinessState.AWAY, ReadinessState.REFUSED
KEY_ID = KeyId(str(uuid.UUID(int=2)))
OTHER_KEY_ID = KeyId(str(uuid.UUID(int=3)))


@pytest.mark.parametrize("profile", ["nshield", "cloudhsm"])
def test_a_profile_that_repeats_the_iv_is_refused(softhsm: Bench, profile: str) -> None:
    """SoftHSM takes twelve zero bytes as the IV that they are: served like this, GCM is broken for good."""
    hsm = softhsm.hsm(profile=profile)
    readiness = hsm.connect()
    assert readiness.state is ReadinessState.REFUSED
    assert "IV mode hsm_in_place" in readiness.reason
    assert hsm.tend().state is ReadinessState.REFUSED
    with pytest.raises(KeyUnavailableError):
        hsm.random(1)


def test_a_profile_that_expects_an_appended_iv_is_refused(softhsm: Bench) -> None:
    assert softhsm.hsm(profile="luna-fips").connect().state is ReadinessState.REFUSED


def test_the_probe_tells_what_it_tried(softhsm: Bench) -> None:
    report = softhsm.ready().probe_report
    assert report is not None
    assert {result.name: result.passed for result in report.results} == {
        "fresh IV": True,
        "decrypt": True,
        "bad tag is refused": True,
        "other additional data is refused": True,
        "value cannot be read": True,
        "no copy that can be extracted": True,
        "no copy that can wrap": True,
        "wrap circle": True,
    }


def test_a_profile_without_wrapping_serves_without_it(softhsm: Bench) -> None:
    hsm = softhsm.ready(profile="generic")
    assert hsm.call_style is CallStyle.HANDED_OFF
    assert hsm.wrapping_id is None


def test_a_secret_sealed_with_an_iv_of_another_length_opens(softhsm: Bench) -> None:
    """A token whose profile was changed, say from luna-fips to luna, keeps its secrets."""
    hsm = softhsm.ready()
    usual = hsm._profile
    hsm._profile = replace(usual, iv_length=16)
    sealed = hsm.seal_secret(b"label", b"secret")
    hsm._profile = usual
    assert hsm.open_secret(b"label", sealed) == b"secret"


def test_no_other_object_of_the_token_wraps(softhsm: Bench) -> None:
    hsm = softhsm.ready()
    identity_id = hsm.identity_id
    assert identity_id is not None
    with pytest.raises(KeyUnavailableError):
        hsm.wrap_new_data_key(identity_id, 32)


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        pytest.param({"module_path": Path("/nowhere.so")}, REFUSED, "cannot load", id="no file"),
        pytest.param({"module_path": Path(os.__file__)}, REFUSED, "cannot load", id="no library"),
        pytest.param({"token_label": "other"}, AWAY, "does not see", id="no such token"),
        pytest.param({"expected_identity": "0" * 32}, REFUSED, "not this region's", id="identity"),
    ],
)
def test_says_what_is_wrong(
    softhsm: Bench, changes: dict[str, Any], state: ReadinessState, reason: str
) -> None:
    readiness = softhsm.hsm(**changes).connect()
    assert readiness.state is state
    assert reason in readiness.reason


def test_a_token_directory_that_is_missing_at_the_start_is_waited_for(own: Bench) -> None:
    library = own.directory / "started-too-early.so"
    library.write_bytes((own.directory / "libsofthsm2.so").read_bytes())
    away = own.tokens_directory.with_name("away")
    own.tokens_directory.rename(away)
    hsm = own.hsm(module_path=library)
    with environment(own.settings.environment):
        assert hsm.connect().state is ReadinessState.AWAY
        away.rename(own.tokens_directory)
        own.clock.ahead_seconds += 40
        assert hsm.tend().state in (ReadinessState.READY, ReadinessState.STALE)


def test_finds_its_token_by_serial_and_identity(softhsm: Bench) -> None:
    first = softhsm.ready()
    assert first.identity_id is not None
    again = softhsm.ready(
        token_label=None, token_serial=first.facts().serial, expected_identity=first.identity_id.hex()
    )
    assert again.identity_id == first.identity_id


def test_preparing_twice_changes_nothing(own: Bench) -> None:
    again = prepare_token(own.settings, PIN, own.modules, own.clock)
    assert again.made == ()
    assert own.ready(expected_identity=again.identity).readiness().state is ReadinessState.READY


def test_preparing_many_times_at_once_never_leaves_two_of_one(own: Bench) -> None:
    settings = own.settings.model_copy(update={"token_label": "raced"})
    initialize_softhsm_token(settings, SO_PIN, PIN, own.modules)
    at_once = threading.Barrier(4)

    def prepare(_: int) -> None:
        at_once.wait()
        with suppress(ProvisionError):
            prepare_token(settings, PIN, own.modules, own.clock)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(prepare, range(4)))
    # Were there two of one kind, it would refuse the token: now, and for ever.
    afterwards = prepare_token(settings, PIN, own.modules, own.clock)
    own.ready(token_label="raced", expected_identity=afterwards.identity)


def test_a_token_whose_making_was_cut_short_is_completed(own: Bench) -> None:
    settings = own.settings.model_copy(update={"token_label": "half"})
    module = own.modules.load(settings.module_path)
    slot = module.free_slot()
    assert slot is not None
    _init_token(module, slot, "half", SO_PIN)
    for _ in range(2):
        complete_softhsm_token(settings, SO_PIN, PIN, own.modules)
    prepare_token(settings, PIN, own.modules, own.clock)
    own.ready(token_label="half")


def test_objects_are_made_searched_and_destroyed_beside_each_other(own: Bench) -> None:
    """SoftHSM 2.6.1 fails C_GenerateKey beside a search of the same process; the room keeps them apart."""
    hsm = own.ready()

    def make_and_destroy(_: int) -> None:
        for _turn in range(15):
            version = new_version(hsm, KEY_ID)
            hsm.destroy_material(version.material_id)

    def search(_: int) -> None:
        for _turn in range(60):
            hsm.list_materials()

    with ThreadPoolExecutor(7) as pool:
        for outcome in [pool.submit(make_and_destroy, n) for n in range(4)] + [
            pool.submit(search, n) for n in range(3)
        ]:
            outcome.result()
    assert hsm.list_materials() == []


def test_a_token_that_lost_its_identity_gets_no_new_one(own: Bench) -> None:
    settings = own.settings.model_copy(update={"expected_identity": "0" * 32})
    with pytest.raises(ProvisionError, match="not this region's"):
        prepare_token(settings, PIN, own.modules, own.clock)


def test_a_token_is_not_made_over(own: Bench) -> None:
    with pytest.raises(ProvisionError, match="already"):
        initialize_softhsm_token(own.settings, SO_PIN, PIN, own.modules)


def test_an_unprepared_token_is_waited_for_and_then_served(own: Bench) -> None:
    settings = own.settings.model_copy(update={"token_label": "second"})
    initialize_softhsm_token(settings, SO_PIN, PIN, own.modules)
    hsm = own.hsm(token_label="second")
    for _ in range(4):
        own.clock.ahead_seconds += 40
        assert hsm.tend().state is ReadinessState.AWAY
    assert "prepare it" in hsm.readiness().reason
    made = prepare_token(settings, PIN, own.modules, own.clock).made
    assert set(made) == {Purpose.IDENTITY, Purpose.CANARY, Purpose.WRAPPING}
    assert hsm.tend().state is ReadinessState.READY


def test_a_token_directory_that_was_away_needs_a_new_process(own: Bench) -> None:
    hsm = own.ready()
    version = new_version(hsm, KEY_ID)
    sealed = hsm.seal(version, AAD, b"x")
    away = own.tokens_directory.with_name("away")
    own.tokens_directory.rename(away)
    with pytest.raises(KeyUnavailableError):
        hsm.seal(version, AAD, b"x")
    for _ in range(3):
        own.clock.ahead_seconds += 40
        assert hsm.tend().state is ReadinessState.AWAY
    away.rename(own.tokens_directory)
    own.clock.ahead_seconds += 40
    assert hsm.tend().state is ReadinessState.STALE
    with pytest.raises(KeyUnavailableError):
        hsm.open(version, AAD, sealed)
    # What the new process would do: a module that was never loaded before.
    library = own.directory / "again.so"
    library.write_bytes((own.directory / "libsofthsm2.so").read_bytes())
    with environment(own.settings.environment):
        fresh = own.ready(module_path=library)
    assert fresh.open(version, AAD, sealed) == b"x"


def test_reads_back_what_protects_a_key(own: Bench) -> None:
    hsm = own.ready()
    version = new_version(hsm, KEY_ID)
    missing = MaterialId(bytes(16))
    inventory = hsm.inventory({missing: KeyOrigin.AWS_KMS})
    assert inventory.missing == [missing]
    assert inventory.unknown == [version.material_id]
    (found,) = inventory.objects
    assert found.faults == []
    assert found.attributes == {
        "sensitive": True,
        "always_sensitive": True,
        "extractable": False,
        "never_extractable": True,
        "local": True,
    }
    facts = hsm.facts()
    assert "ENCRYPT" in facts.mechanisms["AES_GCM"]
    assert facts.label == "contract"


def test_pkcs11_tool_agrees(own: Bench) -> None:
    new_version(own.ready(), KEY_ID)
    listing = subprocess.run(
        [
            *("pkcs11-tool", "--module", str(own.settings.module_path), "--list-objects"),
            *("--login", "--pin", PIN.reveal().decode(), "--token-label", "contract"),
        ],
        env=os.environ | own.settings.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # Four objects: the version, and the identity, wrapping and canary objects.
    assert listing.count("Secret Key Object; AES length 32") == 4
    assert listing.count("sensitive, always sensitive, never extractable, local") == 4
    usages = [line.split(":")[1].strip() for line in listing.splitlines() if "Usage:" in line]
    assert sorted(usages) == ["encrypt, decrypt"] * 3 + ["wrap, unwrap"]


def in_a_child(act: object) -> int:
    """Run it in a forked child; its exit code: 0 when it raised ForkedError."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        act()  # type: ignore[operator]  # any callable
    except ForkedError:
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the child must end here, whatever it is
        os._exit(2)
    os._exit(1)


def test_a_forked_child_is_refused_loudly(own: Bench) -> None:
    hsm = own.ready()
    version = new_version(hsm, KEY_ID)
    assert in_a_child(lambda: hsm.seal(version, AAD, b"x")) == 0
    assert in_a_child(lambda: hsm.random(1)) == 0
    assert in_a_child(lambda: own.modules.load(own.settings.module_path)) == 0
    hsm.seal(version, AAD, b"x")


def test_what_another_process_made_is_not_lost_sight_of(own: Bench) -> None:
    """SoftHSM takes a token for unchanged since it wrote to it itself, whoever wrote before."""
    one, another = own.ready(), own.beside().ready()
    theirs = new_version(one, KEY_ID)
    mine = new_version(another, OTHER_KEY_ID)
    assert another.open(theirs, AAD, one.seal(theirs, AAD, b"x")) == b"x"
    later = new_version(one, OTHER_KEY_ID)
    another.destroy_material(mine.material_id)
    assert another.open(later, AAD, one.seal(later, AAD, b"x")) == b"x"


def test_what_another_process_destroyed_is_not_remembered_as_there(own: Bench) -> None:
    """Importing it again asks whether it is there; what it did a moment ago is no answer."""
    one, another = own.ready(), own.beside().ready()
    made = new_version(one, KEY_ID)
    one.require_same_key(made)
    another.destroy_material(made.material_id)
    with pytest.raises(KeyUnavailableError):
        one.require_same_key(made)
    assert one.readiness().state is ReadinessState.READY


def test_a_module_is_loaded_once_and_never_finalised(own: Bench) -> None:
    first = own.modules.load(own.settings.module_path)
    link = own.directory / "another-name.so"
    link.symlink_to(own.settings.module_path)
    assert own.modules.load(link) is first
    hsm = own.ready()
    # Another registry finds the module initialised, and its end leaves it so.
    with environment(own.settings.environment):
        second = Modules()
        second.load(own.settings.module_path)
    del second
    assert len(hsm.random(8)) == 8
    with pytest.raises(ModuleLoadError):
        own.modules.load(Path("/nowhere.so"))
