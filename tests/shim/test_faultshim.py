"""Each fault of the shim, proven on a process that calls a throw-away SoftHSM token through it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.faultshim import FaultShim, ShimError, build_shim, function_names
from tests.shim.application import (
    ARGUMENTS_BAD,
    ATTRIBUTE_SENSITIVE,
    DEVICE_ERROR,
    DEVICE_MEMORY,
    FUNCTION_FAILED,
    GENERAL_ERROR,
    LABEL,
    OK,
    OPERATION_ACTIVE,
    PIN,
    SESSION_HANDLE_INVALID,
    TOKEN_NOT_PRESENT,
    Application,
    write_control,
)

PUBLIC_SESSION: Final = 2  # CKS_RW_PUBLIC_SESSION
USER_SESSION: Final = 3  # CKS_RW_USER_FUNCTIONS


# ---- pass-through ----


def test_every_function_is_exported_and_listed(app: Application) -> None:
    """python-pkcs11 looks up C_GetFunctionList alone; others look up each function."""
    assert len(function_names()) == 68
    answer = app.do("load")
    assert answer.ckr == OK
    assert answer.value == []


def test_ciphertext_is_the_real_modules(app: Application) -> None:
    session, key = app.begin_with_key()
    value = bytes.fromhex(app.do("read_key", session, key).value)
    encrypted = app.do("encrypt", session, key, b"a secret".hex())
    assert encrypted.ckr == OK
    assert AESGCM(value).decrypt(bytes(12), bytes.fromhex(encrypted.value), None) == b"a secret"


def test_initialize_arguments_reach_the_module(app: Application) -> None:
    """SoftHSM refuses a reserved pointer that is set, so it saw the structure that the caller made."""
    assert app.do("initialize", 0x2, 1).ckr == ARGUMENTS_BAD
    assert app.do("initialize", 0x2).ckr == OK


def test_finalize_forgets_the_sessions(shim: FaultShim, app: Application) -> None:
    slot = app.begin()
    session = app.open(slot)
    assert app.do("finalize").ckr == OK
    assert shim.open_sessions() == 0
    app.begin()
    assert app.do("state", session).ckr == SESSION_HANDLE_INVALID
    assert app.do("state", app.open(slot)).ckr == OK


def test_eight_threads(shim: FaultShim, app: Application) -> None:
    slot = app.begin()
    answer = app.do("busy_threads", slot, 8, 500)
    assert answer.value == [OK]
    assert shim.calls("C_EncryptInit") == shim.calls("C_Encrypt") == 8 * 500
    assert shim.most_sessions() == shim.encrypting_sessions() == 8


PYTHON_PKCS11: Final = """
import sys
import pkcs11

token = pkcs11.lib(sys.argv[1]).get_token(token_label=sys.argv[2])
with token.open(user_pin=sys.argv[3], rw=True) as session:
    key = session.generate_key(pkcs11.KeyType.AES, 256, store=False)
    parameters = pkcs11.GCMParams(session.generate_random(96), b"aad", 128)
    sealed = key.encrypt(b"x" * 40, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters)
    opened = key.decrypt(sealed, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=parameters)
    assert opened == b"x" * 40
"""


def test_python_pkcs11_works_through_it(shim: FaultShim, token: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", "-c", PYTHON_PKCS11, str(shim.module), LABEL, PIN],
        env=os.environ | token | dict(shim.environment),
        check=True,
    )
    assert shim.calls("C_Login") == 1
    assert ("C_Decrypt", b"x" * 40) in shim.recorded()


# ---- fail ----


def test_fail_answers_for_the_token(shim: FaultShim, app: Application) -> None:
    session, key = app.begin_with_key()
    shim.fail("C_EncryptInit", DEVICE_MEMORY)
    assert {app.do("encrypt", session, key).ckr for _ in range(3)} == {DEVICE_MEMORY}
    assert app.do("random", session, 4).ckr == OK
    assert shim.calls("C_Encrypt") == 0
    shim.clear()
    assert app.do("encrypt", session, key).ckr == OK


def test_fail_from_the_third_call_twice(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    shim.fail("C_GenerateRandom", DEVICE_ERROR, first=3, count=2)
    seen = [app.do("random", session, 4).ckr for _ in range(6)]
    assert seen == [OK, OK, DEVICE_ERROR, DEVICE_ERROR, OK, OK]


def test_a_changed_file_starts_the_counts_afresh(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    shim.fail("C_GenerateRandom", DEVICE_ERROR, count=1)
    assert [app.do("random", session, 4).ckr for _ in range(2)] == [DEVICE_ERROR, OK]
    shim.delay("C_Login", 1)
    assert [app.do("random", session, 4).ckr for _ in range(2)] == [DEVICE_ERROR, OK]


def test_fail_everything_spares_the_library_functions(shim: FaultShim, app: Application) -> None:
    shim.fail("*", DEVICE_ERROR)
    assert app.do("initialize").ckr == OK
    assert app.do("library_info").ckr == OK
    assert app.do("slots").ckr == DEVICE_ERROR
    assert app.do("open", 0).ckr == DEVICE_ERROR
    assert app.do("finalize").ckr == OK
    shim.clear()
    shim.fail("C_Initialize", GENERAL_ERROR)
    assert app.do("initialize").ckr == GENERAL_ERROR


def test_the_first_failure_that_holds_wins(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    shim.fail("C_GenerateRandom", DEVICE_MEMORY, first=2, count=1)
    shim.fail("*", DEVICE_ERROR)
    seen = [app.do("random", session, 4).ckr for _ in range(3)]
    assert seen == [DEVICE_ERROR, DEVICE_MEMORY, DEVICE_ERROR]


def test_a_failed_encrypt_leaves_the_operation_active(shim: FaultShim, app: Application) -> None:
    """The token never saw the call: the session stays as C_EncryptInit left it."""
    session, key = app.begin_with_key()
    shim.fail("C_Encrypt", DEVICE_ERROR, count=1)
    assert app.do("encrypt", session, key).ckr == DEVICE_ERROR
    assert app.do("encrypt_init", session, key).ckr == OPERATION_ACTIVE
    assert app.do("encrypt_final", session, "00").ckr == OK


# ---- delay ----


def test_delay_of_one_function(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    shim.delay("C_GenerateRandom", 80.5, first=2, count=1)
    answers = [app.do("random", session, 4) for _ in range(3)]
    assert [answer.ckr for answer in answers] == [OK, OK, OK]
    assert answers[1].seconds >= 0.0805


def test_delays_add_up(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    shim.delay("C_GenerateRandom", 40)
    shim.delay("*", 30)
    assert app.do("random", session, 4).seconds >= 0.07
    assert app.do("state", session).seconds >= 0.03


def test_a_failure_can_be_slow(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    shim.delay("C_GenerateRandom", 50)
    shim.fail("C_GenerateRandom", DEVICE_ERROR)
    answer = app.do("random", session, 4)
    assert answer.ckr == DEVICE_ERROR
    assert answer.seconds >= 0.05


# ---- drop-sessions ----


def test_dropped_sessions_lose_the_login(shim: FaultShim, app: Application) -> None:
    slot = app.begin()
    first, second = app.open(slot), app.open(slot)
    assert app.do("login", first, PIN).ckr == OK
    assert app.do("state", second).value == USER_SESSION
    shim.drop_sessions()
    assert app.do("state", first).ckr == SESSION_HANDLE_INVALID
    assert app.do("close", second).ckr == SESSION_HANDLE_INVALID
    assert shim.open_sessions() == 0
    new = app.open(slot)
    assert app.do("state", new).value == PUBLIC_SESSION
    assert app.do("login", new, PIN).ckr == OK
    assert app.do("state", new).value == USER_SESSION
    assert app.do("state", first).ckr == SESSION_HANDLE_INVALID


def test_sessions_are_dropped_once(shim: FaultShim, app: Application) -> None:
    slot = app.begin()
    before = app.open(slot)
    shim.drop_sessions()
    after = app.open(slot)
    shim.fail("C_Login", DEVICE_ERROR)
    shim.clear()
    assert app.do("state", before).ckr == SESSION_HANDLE_INVALID
    assert app.do("state", after).ckr == OK
    shim.drop_sessions()
    assert app.do("state", after).ckr == SESSION_HANDLE_INVALID


def test_a_number_used_again_is_not_the_old_session(shim: FaultShim, app: Application) -> None:
    """SoftHSM never uses a session's number again; a token that does must not revive a dropped session."""
    slot = app.begin()
    before = app.open(slot)
    shim.drop_sessions()
    after = app.open(slot)
    assert before < 1 << 32 <= after
    assert app.do("state", after - (1 << 32)).ckr == SESSION_HANDLE_INVALID
    assert app.do("state", after).ckr == OK


def test_closed_handles_of_a_later_generation(shim: FaultShim, app: Application) -> None:
    """After a drop the shim's handles differ from the module's; closing must still find them."""
    slot = app.begin()
    app.open(slot)
    shim.drop_sessions()
    one, two, three = (app.open(slot) for _ in range(3))
    assert shim.open_sessions() == 3
    assert app.do("close", two).ckr == OK
    assert shim.open_sessions() == 2
    assert app.do("state", two).ckr == SESSION_HANDLE_INVALID
    assert [app.do("state", session).ckr for session in (one, three)] == [OK, OK]
    assert app.do("close_all", slot).ckr == OK
    assert shim.open_sessions() == 0


def test_sessions_are_dropped_under_busy_threads(shim: FaultShim, app: Application) -> None:
    """Closing a session that a thread is using crashes SoftHSM; the shim must wait for such calls."""
    slot = app.begin()
    app.start("busy_threads", slot, 8, 2500)
    while not app.has_answered(0.02):
        shim.drop_sessions()
    assert set(app.finish().value) == {OK, SESSION_HANDLE_INVALID}


# ---- gone ----


def test_gone_and_back(shim: FaultShim, app: Application) -> None:
    slot = app.begin()
    session = app.open(slot)
    assert app.do("login", session, PIN).ckr == OK
    shim.gone()
    assert app.do("random", session, 4).ckr == DEVICE_ERROR
    assert app.do("open", slot).ckr == DEVICE_ERROR
    assert app.do("mechanism_info", slot).ckr == DEVICE_ERROR
    slots = app.do("slots")
    assert (slots.ckr, slots.value) == (OK, [])
    assert app.do("slot_info", slot).ckr == TOKEN_NOT_PRESENT
    assert app.do("token_label", slot).ckr == TOKEN_NOT_PRESENT
    assert app.do("library_info").ckr == OK
    shim.back()
    assert app.do("random", session, 4).ckr == SESSION_HANDLE_INVALID
    assert slot in app.do("slots").value
    assert app.do("state", app.open(slot)).value == PUBLIC_SESSION


def test_a_process_starts_while_the_token_is_gone(shim: FaultShim, app: Application) -> None:
    shim.gone()
    assert app.do("initialize").ckr == OK
    assert app.do("slots").value == []
    shim.clear()
    assert LABEL in {app.do("token_label", slot).value for slot in app.do("slots").value}


def test_a_process_that_made_no_call_meanwhile_loses_its_sessions_too(
    shim: FaultShim, app: Application
) -> None:
    session = app.open(app.begin())
    shim.gone()
    shim.back()
    assert app.do("state", session).ckr == SESSION_HANDLE_INVALID


def test_back_leaves_other_faults(shim: FaultShim, app: Application) -> None:
    slot = app.begin()
    shim.fail("C_OpenSession", DEVICE_MEMORY)
    shim.gone()
    assert app.do("open", slot).ckr == DEVICE_MEMORY
    shim.back()
    assert app.do("open", slot).ckr == DEVICE_MEMORY


# ---- hang ----


def test_hang_until_cleared(shim: FaultShim, app: Application) -> None:
    session, key = app.begin_with_key()
    shim.hang("C_EncryptInit", first=2)
    assert app.do("encrypt", session, key).ckr == OK
    app.start("encrypt", session, key)
    assert not app.has_answered(0.3)
    shim.delay("C_Login", 1)  # a changed file that still hangs the function
    assert not app.has_answered(0.1)
    shim.clear()
    assert app.finish().ckr == OK


def test_the_file_that_ends_the_hang_decides(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    shim.hang("*")
    app.start("random", session, 4)
    assert not app.has_answered(0.1)
    write_control(shim, "fail C_GenerateRandom 0x30 count 1\n")
    assert app.finish().ckr == DEVICE_ERROR
    assert app.do("random", session, 4).ckr == OK


def test_a_hanging_call_loses_its_session(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    shim.hang("C_GenerateRandom")
    app.start("random", session, 4)
    assert not app.has_answered(0.1)
    shim.drop_sessions()
    shim.clear()
    assert app.finish().ckr == SESSION_HANDLE_INVALID


# ---- statistics ----


def test_counts_are_shared_by_all_processes(shim: FaultShim, launch: Callable[[], Application]) -> None:
    assert shim.calls("C_OpenSession") == 0
    apps = [launch(), launch()]
    for app in apps:
        session, key = app.begin_with_key()
        for _ in range(3):
            assert app.do("encrypt", session, key).ckr == OK
    assert shim.calls("C_Encrypt") == 6
    assert shim.open_sessions() == shim.most_sessions() == 2
    assert shim.encrypting_sessions() == 2
    assert apps[0].do("finalize").ckr == OK
    assert shim.open_sessions() == 1
    assert shim.most_sessions() == 2


def test_calls_that_never_reach_the_token_are_counted(shim: FaultShim, app: Application) -> None:
    shim.gone()
    app.do("random", 1, 4)
    assert shim.calls("C_GenerateRandom") == 1
    assert shim.calls("C_GetFunctionList") == 1


# ---- the record ----


def test_what_leaves_the_token_is_recorded(shim: FaultShim, app: Application) -> None:
    session, key = app.begin_with_key()
    random = app.do("random", session, 20).value
    value = app.do("read_key", session, key).value
    assert app.do("encrypt_init", session, key).ckr == OK
    assert app.do("encrypt_final", session, "00", 0).value == 17  # a query for the length
    ciphertext = app.do("encrypt_final", session, "00").value
    assert shim.recorded() == [
        ("C_GenerateRandom", bytes.fromhex(random)),
        ("C_GetAttributeValue", (4).to_bytes(8, sys.byteorder)),  # CKA_CLASS: a secret key
        ("C_GetAttributeValue", bytes.fromhex(value)),
        ("C_Encrypt", bytes.fromhex(ciphertext)),
    ]


def test_a_value_that_the_token_keeps_is_not_recorded(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    key = app.do("make_key", session, 1).value
    answer = app.do("read_key", session, key)
    assert (answer.ckr, answer.value) == (ATTRIBUTE_SENSITIVE, None)
    assert shim.recorded() == [("C_GetAttributeValue", (4).to_bytes(8, sys.byteorder))]


def test_failed_calls_leave_no_record(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    shim.fail("C_GenerateRandom", DEVICE_ERROR)
    app.do("random", session, 4)
    assert shim.recorded() == []


def test_record_is_off_by_default(module: Path, tmp_path: Path) -> None:
    shim = FaultShim(module, tmp_path)
    assert "FAULTSHIM_RECORD" not in shim.environment
    with pytest.raises(ShimError):
        shim.recorded()


def test_a_record_that_cannot_be_written_stops_everything(
    shim: FaultShim, token: dict[str, str], tmp_path: Path
) -> None:
    environment = token | dict(shim.environment) | {"FAULTSHIM_RECORD": "/dev/full"}
    with Application(shim.module, environment, tmp_path / "stderr") as app:
        session = app.open(app.begin())
        app.do("random", session, 4)
        assert app.do("random", session, 4).ckr == FUNCTION_FAILED
        assert "cannot write FAULTSHIM_RECORD" in app.complaints


# ---- the controller ----


def test_shim_is_built_once(tmp_path: Path) -> None:
    first = build_shim(tmp_path / "new" / "directory")
    built_at = first.stat().st_mtime_ns
    assert build_shim(first.parent) == first
    assert first.stat().st_mtime_ns == built_at
    assert [entry.name for entry in first.parent.iterdir()] == [first.name]


def test_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ShimError, match="needs a C compiler"):
        build_shim(tmp_path)


def test_refused_source_shows_the_compilers_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'faultshim.c:1: no' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ShimError, match=r"faultshim\.c:1: no"):
        build_shim(tmp_path / "build")


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(lambda shim: shim.fail("C_Encrypted", 5), id="unknown function"),
        pytest.param(lambda shim: shim.calls("C_Encrypted"), id="counter of an unknown function"),
        pytest.param(lambda shim: shim.hang("C_Encrypt", first=0), id="calls begin at 1"),
        pytest.param(lambda shim: shim.delay("C_Encrypt", 5, count=0), id="no call at all"),
    ],
)
def test_controller_refuses_nonsense(shim: FaultShim, order: Callable[[FaultShim], object]) -> None:
    with pytest.raises(ValueError, match=r"C_Encrypted|begin at 1"):
        order(shim)


def test_files_in_quick_succession_all_count(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    for number in range(200):
        shim.clear()
        shim.fail("C_GenerateRandom", 0x100 + number)
        assert app.do("random", session, 4).ckr == 0x100 + number


def test_every_file_has_a_later_time(shim: FaultShim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems use an inode number again at once, and the clock may stand still."""
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    control = Path(shim.environment["FAULTSHIM_CONTROL"])
    times = [control.stat().st_mtime_ns]
    for _ in range(5):
        shim.clear()
        times.append(control.stat().st_mtime_ns)
    assert times == [times[0] + number for number in range(6)]
