"""Logins: the PIN, a login that is lost and made anew, and what of one login never reaches the next."""

from __future__ import annotations

import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hsmkms.errors import KeyUnavailableError
from hsmkms.hsm import Pin, TokenRefusedError, initialize_softhsm_token, prepare_token
from hsmkms.hsm.connection import Connection
from hsmkms.hsm.handles import find_by_id
from hsmkms.hsm.return_codes import CkrError
from hsmkms.hsm.sessions import PoolRetiredError
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.hsm import ReadinessState
from tests.contract.hsm.threads import together, wait_until
from tests.contract.hsm.tokens import PIN, SO_PIN, Bench, make_bench, materials, new_version, wrapping
from tests.faultshim import FaultShim

AAD = bytes(68)
KEY_ID = KeyId(str(uuid.UUID(int=1)))
GENERAL_ERROR, DEVICE_ERROR, SESSION_COUNT = 0x05, 0x30, 0xB1
PIN_LOCKED, SESSION_HANDLE_INVALID, USER_PIN_NOT_INITIALIZED = 0xA4, 0xB3, 0x102


# --- login -------------------------------------------------------------------------------------------------


def test_a_wrong_pin_is_tried_once_whoever_asks(faulty: Bench, shim: FaultShim) -> None:
    before = shim.calls("C_Login")
    hsm = faulty.hsm(Pin("wrong-0000"))
    assert hsm.connect().state is ReadinessState.REFUSED
    for _ in range(3):
        assert hsm.connect().state is ReadinessState.REFUSED
        assert hsm.tend().state is ReadinessState.REFUSED
    with pytest.raises(TokenRefusedError, match="CKR_PIN_INCORRECT"):
        hsm.require_ready()
    with pytest.raises(KeyUnavailableError):
        hsm.random(1)
    # Another worker: the marker stops it, even with the right PIN, until an operator has looked.
    marker = faulty.settings.pin_refused_marker
    assert marker is not None
    for pin in (Pin("wrong-0000"), Pin("user-1234")):
        another = faulty.hsm(pin)
        assert another.connect().state is ReadinessState.REFUSED
        assert str(marker) in another.readiness().reason
    assert shim.calls("C_Login") - before == 1
    marker.unlink()
    assert faulty.hsm().connect().state is ReadinessState.READY


def test_many_workers_spend_one_try_together(faulty: Bench, shim: FaultShim) -> None:
    before = shim.calls("C_Login")
    hsms = [faulty.hsm(Pin("wrong-0000")) for _ in range(6)]
    together(6, lambda number: hsms[number].connect())
    assert {hsm.readiness().state for hsm in hsms} == {ReadinessState.REFUSED}
    assert shim.calls("C_Login") - before == 1


def test_a_locked_pin_stops_for_good(faulty: Bench, shim: FaultShim) -> None:
    shim.fail("C_Login", PIN_LOCKED)
    hsm = faulty.hsm(pin_refused_marker=None)
    assert hsm.connect().state is ReadinessState.REFUSED
    shim.clear()
    assert hsm.tend().state is ReadinessState.REFUSED


def test_no_pin_is_tried_where_no_marker_can_be_written(faulty: Bench, shim: FaultShim) -> None:
    before = shim.calls("C_Login")
    hsm = faulty.hsm(pin_refused_marker=faulty.directory / "nowhere" / "marker")
    assert hsm.connect().state is ReadinessState.AWAY
    assert shim.calls("C_Login") == before


@pytest.mark.parametrize("obstacle", ["a link that leads nowhere", "a directory in the pending one's place"])
def test_no_pin_is_tried_where_its_refusal_could_not_be_noted(
    faulty: Bench, shim: FaultShim, obstacle: str
) -> None:
    marker = faulty.directory / "marker"
    if obstacle.startswith("a link"):
        marker.symlink_to(faulty.directory / "nowhere" / "else")
    else:
        marker.with_name("marker.pending").mkdir()
    before = shim.calls("C_Login")
    for _ in range(2):
        hsm = faulty.hsm(Pin("wrong-0000"), pin_refused_marker=marker)
        assert hsm.connect().state is not ReadinessState.READY
    assert shim.calls("C_Login") == before


def test_a_refusal_that_cannot_be_kept_is_one_all_the_same(
    faulty: Bench, shim: FaultShim, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_source: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    before = shim.calls("C_Login")
    monkeypatch.setattr(Path, "replace", full)
    hsm = faulty.hsm(Pin("wrong-0000"))
    assert hsm.connect().state is ReadinessState.REFUSED
    for _ in range(3):
        assert hsm.tend().state is ReadinessState.REFUSED
    assert shim.calls("C_Login") - before == 1


def test_a_token_without_a_user_pin_costs_no_try(faulty: Bench, shim: FaultShim) -> None:
    shim.fail("C_Login", USER_PIN_NOT_INITIALIZED)
    hsm = faulty.hsm()
    assert hsm.connect().state is ReadinessState.REFUSED
    assert "CKR_USER_PIN_NOT_INITIALIZED" in hsm.readiness().reason
    marker = faulty.settings.pin_refused_marker
    assert marker is not None
    assert not marker.exists()


def test_a_failed_connection_leaves_no_session(faulty: Bench, shim: FaultShim) -> None:
    before = shim.open_sessions()
    faulty.hsm(Pin("wrong-0000")).connect()
    assert shim.open_sessions() == before


# --- away and back -----------------------------------------------------------------------------------------


def test_dropped_sessions_are_survived_without_an_operator(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    sealed = hsm.seal(version, AAD, b"x")
    shim.drop_sessions()
    with pytest.raises(KeyUnavailableError):
        hsm.open(version, AAD, sealed)
    assert hsm.readiness().state is ReadinessState.AWAY
    assert hsm.tend().state is ReadinessState.READY
    assert hsm.open(version, AAD, sealed) == b"x"
    assert hsm.open_secret(b"l", hsm.seal_secret(b"l", b"s")) == b"s"
    assert hsm.unwrap_data_key(hsm.wrap_new_data_key(wrapping(hsm), 16))


def test_an_idle_token_that_dropped_its_sessions_is_found_by_the_heartbeat(
    faulty: Bench, shim: FaultShim
) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    shim.drop_sessions()
    faulty.clock.ahead_seconds += 5
    assert hsm.tend().state is ReadinessState.READY
    hsm.seal(version, AAD, b"x")


def test_a_token_that_is_gone_comes_back_by_itself(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    sealed = hsm.seal(version, AAD, b"x")
    shim.gone()
    for act in (
        lambda: hsm.open(version, AAD, sealed),
        lambda: hsm.seal(version, AAD, b"x"),
        lambda: hsm.random(1),
        lambda: hsm.create_material(KEY_ID, MaterialId(os.urandom(16))),
        lambda: hsm.destroy_material(version.material_id),
        hsm.list_materials,
    ):
        with pytest.raises(KeyUnavailableError):
            act()
    for _ in range(3):
        faulty.clock.ahead_seconds += 1
        assert hsm.tend().state is ReadinessState.AWAY
    shim.back()
    assert hsm.tend().state is ReadinessState.READY
    assert hsm.open(version, AAD, sealed) == b"x"
    assert materials(hsm) == {version.material_id}


def test_a_token_that_is_away_at_the_start_is_waited_for(faulty: Bench, shim: FaultShim) -> None:
    shim.gone()
    hsm = faulty.hsm()
    assert hsm.connect().state is ReadinessState.AWAY
    with pytest.raises(TokenRefusedError, match="does not see"):
        hsm.require_ready()
    shim.back()
    assert hsm.tend().state is ReadinessState.READY


def test_a_login_of_before_never_lends_its_handles(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    hsm.seal(version, AAD, b"x")
    old = hsm._connection.link
    shim.drop_sessions()
    faulty.clock.ahead_seconds += 5
    hsm.tend()
    new = hsm._connection.link
    assert new.generation == old.generation + 1
    encryptions = shim.calls("C_EncryptInit")
    with new.pool.borrow() as session, pytest.raises(KeyUnavailableError):
        old.handles.get(session, session.generation, version.material_id)
    stale = old.handles._known[version.material_id]
    new.handles.add(stale)
    with pytest.raises(KeyUnavailableError):
        hsm.seal(version, AAD, b"x")
    assert shim.calls("C_EncryptInit") == encryptions


# --- what of one login never reaches the next --------------------------------------------------------------


@pytest.fixture
def forgetful(tmp_path: Path, shim_module: Path) -> Bench:
    """A token that counts its sessions from 1 again after it has lost them."""
    return make_bench(tmp_path / "token", shim_module, numbers_start_again=True)


def test_sessions_that_bear_old_numbers_are_not_closed_as_old_ones(forgetful: Bench) -> None:
    shim = forgetful.shim
    assert shim is not None
    hsm = forgetful.ready()
    version = new_version(hsm, KEY_ID)
    for _ in range(3):
        shim.delay("C_Encrypt", 20)
        together(3, lambda _: hsm.seal(version, AAD, b"x"))  # several idle sessions, whose numbers come again
        shim.clear()
        shim.drop_sessions()
        forgetful.clock.ahead_seconds += 5
        assert hsm.tend().state is ReadinessState.READY
        assert hsm.open(version, AAD, hsm.seal(version, AAD, b"x")) == b"x"
        assert hsm.tend().state is ReadinessState.READY


def test_regions_on_one_module_leave_each_others_sessions_alone(forgetful: Bench, tmp_path: Path) -> None:
    """Session numbers are the process's: what was one region's before a drop is the other's after it."""
    shim = forgetful.shim
    assert shim is not None
    settings = forgetful.settings.model_copy(
        update={"token_label": "second", "pin_refused_marker": tmp_path / "second"}
    )
    initialize_softhsm_token(settings, SO_PIN, PIN, forgetful.modules)
    prepare_token(settings, PIN, forgetful.modules, forgetful.clock)
    one, two = forgetful.ready(), forgetful.ready(**settings.model_dump())
    versions = {hsm: new_version(hsm, KEY_ID) for hsm in (one, two)}
    sealed = {hsm: hsm.seal(version, AAD, b"x") for hsm, version in versions.items()}
    for first, second in ((two, one), (one, two)):
        shim.drop_sessions()
        forgetful.clock.ahead_seconds += 5
        assert first.tend().state is ReadinessState.READY
        assert second.tend().state is ReadinessState.READY
        for hsm, version in versions.items():
            assert hsm.open(version, AAD, sealed[hsm]) == b"x"


def test_sessions_that_the_token_still_has_are_closed(faulty: Bench, shim: FaultShim) -> None:
    """The login was only thought lost: an HSM with a limit would fill up, a login at a time."""
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    for _ in range(3):
        shim.delay("C_Encrypt", 20)
        together(4, lambda _: hsm.seal(version, AAD, b"x"))
        shim.clear()
        shim.fail("C_GetSessionInfo", DEVICE_ERROR, count=1)
        shim.fail("C_Decrypt", GENERAL_ERROR, count=1)
        faulty.clock.ahead_seconds += 5
        assert hsm.tend().state is ReadinessState.READY
        assert shim.open_sessions() == 1


def test_a_login_that_ends_while_a_key_is_made_leaves_one_object_or_none(
    faulty: Bench, shim: FaultShim
) -> None:
    hsm = faulty.ready(profile="generic")  # whose objects are not made under a lock
    material_id = MaterialId(os.urandom(16))
    before = shim.calls("C_GenerateKey")
    shim.delay("C_GenerateKey", 1500, count=1)
    with ThreadPoolExecutor(1) as making:
        making_it = making.submit(hsm.create_material, KEY_ID, material_id)
        wait_until(lambda: shim.calls("C_GenerateKey") > before)
        # Its connection is replaced meanwhile: the canary is silent, for the heartbeat and for the repair.
        hsm._connection.vitality.note_failure()
        faulty.clock.ahead_seconds += 5
        hsm._connection.link.pool.retire()
        hsm._connection._become(ReadinessState.AWAY, "")
        hsm._connection._try_to_connect()
        with pytest.raises(KeyUnavailableError):
            making_it.result()
    link = hsm._connection.link
    with link.pool.borrow() as session:
        assert len(find_by_id(session, link.generation, material_id)) <= 1


def test_idle_sessions_are_not_closed_under_numbers_that_are_others_by_now(forgetful: Bench) -> None:
    shim = forgetful.shim
    assert shim is not None
    hsm = forgetful.ready()
    version = new_version(hsm, KEY_ID)
    shim.delay("C_Encrypt", 20)
    together(4, lambda _: hsm.seal(version, AAD, b"x"))
    shim.clear()
    old = list(hsm._connection.link.pool._idle)
    shim.drop_sessions()
    forgetful.clock.ahead_seconds += 5
    hsm.tend()
    shim.delay("C_Encrypt", 20)
    together(4, lambda _: hsm.seal(version, AAD, b"x"))
    shim.clear()
    opened = shim.open_sessions()
    for session in old:
        session.close()
        with pytest.raises(CkrError):
            session.random(1)
    assert shim.open_sessions() == opened


def test_a_session_opened_without_the_login_is_not_used(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    hsm._connection.link.pool.drop_idle()
    shim.drop_sessions()
    used = shim.calls("C_EncryptInit")
    with pytest.raises(KeyUnavailableError):
        hsm.seal(version, AAD, b"x")
    assert shim.calls("C_EncryptInit") == used
    assert hsm.tend().state is ReadinessState.READY
    hsm.seal(version, AAD, b"x")


def test_a_retired_pool_lends_nothing_and_revokes_what_it_has_lent(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready(sessions=2, session_wait_seconds=20)
    pool = hsm._connection.link.pool
    lent, other = pool.borrow(), pool.borrow()
    with ThreadPoolExecutor(1) as waiting:
        waiter = waiting.submit(pool.borrow)
        wait_until(lambda: pool._waiting == 1)
        pool.retire()
        with pytest.raises(PoolRetiredError):
            waiter.result(timeout=10)
    with pytest.raises(PoolRetiredError):
        pool.borrow()
    with pytest.raises(CkrError) as refusal:
        lent.random(1)
    assert refusal.value.code == SESSION_HANDLE_INVALID
    opened = shim.open_sessions()
    for session in (lent, other):
        pool.take_back(session, well=True)
    assert shim.open_sessions() == opened - 2


def test_a_request_that_meets_the_end_of_a_login_goes_on_with_the_next(faulty: Bench) -> None:
    hsm = faulty.ready()
    version = new_version(hsm, KEY_ID)
    connection: Connection = hsm._connection
    old = connection.link
    asked = threading.Event()

    class Meanwhile(type(old.pool)):  # type: ignore[misc]  # a class known at run time
        """Another login is made between looking for the link and borrowing from it."""

        def borrow(self) -> object:
            if not asked.is_set():
                asked.set()
                old.pool.retire()
                connection._try_to_connect()
            return super().borrow()

    old.pool.__class__ = Meanwhile
    assert hsm.open(version, AAD, hsm.seal(version, AAD, b"x")) == b"x"
    assert asked.is_set()
    assert connection.link.generation == old.generation + 1


def test_a_new_login_beside_the_old_one_leaves_no_session_of_it(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready()
    new_version(hsm, KEY_ID)
    before = shim.open_sessions()
    # The login holds and the canary is silent, for the heartbeat and for the repair.
    shim.fail("C_Decrypt", GENERAL_ERROR, count=2)
    faulty.clock.ahead_seconds += 5
    generation = hsm._connection.link.generation
    assert hsm.tend().state is ReadinessState.READY
    assert hsm._connection.link.generation == generation + 1
    assert shim.open_sessions() == 1 < before
    new_version(hsm, KEY_ID)


# --- whose turn it is: this process's, a new one's, an operator's ------------------------------------------


@pytest.mark.parametrize(
    ("function", "code", "state"),
    [
        pytest.param("C_Login", GENERAL_ERROR, ReadinessState.AWAY, id="at the login, as a new one would"),
        pytest.param("C_FindObjectsInit", DEVICE_ERROR, ReadinessState.AWAY, id="after the login"),
        pytest.param("C_OpenSession", DEVICE_ERROR, ReadinessState.STALE, id="before, where a new one does"),
    ],
)
def test_a_process_that_never_logged_in_asks_for_a_new_one_only_if_that_gets_further(
    faulty: Bench, shim: FaultShim, function: str, code: int, state: ReadinessState
) -> None:
    hsm = faulty.hsm()
    hsm._connection._reaches_token = lambda _settings: True
    shim.fail(function, code)
    assert hsm.connect().state is ReadinessState.AWAY
    for _ in range(4):
        faulty.clock.ahead_seconds += 31
        hsm.tend()
    assert hsm.readiness().state is state


@pytest.mark.parametrize("function", ["C_OpenSession", "C_GetSlotList"])
def test_a_new_process_that_fails_at_the_same_step_is_not_asked_for(
    faulty: Bench, shim: FaultShim, function: str
) -> None:
    shim.fail(function, DEVICE_ERROR)
    hsm = faulty.hsm()
    hsm.connect()
    for _ in range(2):
        faulty.clock.ahead_seconds += 31
        assert hsm.tend().state is ReadinessState.AWAY
    shim.clear()
    assert hsm.tend().state is ReadinessState.READY


def test_a_pool_counts_the_sessions_that_came_back_meanwhile(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready(sessions=4)
    pool = hsm._connection.link.pool
    lent = [pool.borrow() for _ in range(3)]
    before = shim.calls("C_OpenSession")
    shim.delay("C_OpenSession", 300)
    shim.fail("C_OpenSession", SESSION_COUNT)
    with ThreadPoolExecutor(1) as asking:
        fourth = asking.submit(pool.borrow)
        wait_until(lambda: shim.calls("C_OpenSession") > before)
        for session in lent:
            pool.take_back(session, well=True)
        assert fourth.result(timeout=10) in lent
    assert pool._limit == 3


def test_a_pool_that_was_given_fewer_sessions_grows_again(faulty: Bench, shim: FaultShim) -> None:
    hsm = faulty.ready(sessions=4)
    version = new_version(hsm, KEY_ID)
    shim.fail("C_OpenSession", SESSION_COUNT)
    shim.delay("C_Encrypt", 20)
    together(4, lambda _: hsm.seal(version, AAD, b"x"))
    pool = hsm._connection.link.pool
    assert pool._limit == 1
    shim.clear()
    for expected in (2, 3, 4, 4):
        faulty.clock.ahead_seconds += 61
        assert hsm.tend().state is ReadinessState.READY
        assert pool._limit == expected
