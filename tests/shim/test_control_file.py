"""The control language, its mistakes, and the environment variables of the fault shim."""

from pathlib import Path

import pytest

from tests.faultshim import FaultShim
from tests.shim.application import (
    DEVICE_ERROR,
    FUNCTION_FAILED,
    GENERAL_ERROR,
    OK,
    SESSION_HANDLE_INVALID,
    Application,
    write_control,
)

# ---- the control language ----


def test_comments_blank_lines_and_decimals(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    write_control(
        shim, "# a comment\n\n  \t\n\tfail  C_GenerateRandom 48 count 1 from 2 # 0x30\r\ndelay * 0.5"
    )
    assert [app.do("random", session, 4).ckr for _ in range(3)] == [OK, DEVICE_ERROR, OK]


def test_drop_sessions_without_a_serial_drops_at_each_load(shim: FaultShim, app: Application) -> None:
    slot = app.begin()
    for _ in range(2):
        session = app.open(slot)
        write_control(shim, "drop-sessions\n")
        assert app.do("state", session).ckr == SESSION_HANDLE_INVALID
        assert app.do("state", app.open(slot)).ckr == OK


def test_a_file_without_a_serial_drops_nothing(shim: FaultShim, app: Application) -> None:
    slot = app.begin()
    write_control(shim, "drop-sessions 7\n")
    session = app.open(slot)
    for text in ("# no serial\n", "drop-sessions 0x7\n"):
        write_control(shim, text)
        assert app.do("state", session).ckr == OK


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("fial C_Encrypt 0x30", id="unknown word"),
        pytest.param("fail C_Encrypted 0x30", id="unknown function"),
        pytest.param("fail C_Encrypt", id="no return value"),
        pytest.param("fail C_Encrypt 0", id="failing with success"),
        pytest.param("fail C_Encrypt -5", id="negative return value"),
        pytest.param("fail C_Encrypt 0x100000000", id="return value over 32 bits"),
        pytest.param("fail C_Encrypt CKR_DEVICE_ERROR", id="return value by name"),
        pytest.param("fail C_Encrypt 0x30 from 0", id="calls begin at 1"),
        pytest.param("fail C_Encrypt 0x30 from", id="from what"),
        pytest.param("fail C_Encrypt 0x30 until 5", id="unknown option"),
        pytest.param("fail C_Encrypt 0x30 from 1 count 2 from 3", id="too many words"),
        pytest.param("delay C_Encrypt", id="delay of nothing"),
        pytest.param("delay C_Encrypt -1", id="negative delay"),
        pytest.param("delay C_Encrypt nan", id="delay that is no number"),
        pytest.param("delay C_Encrypt 5ms", id="delay with a unit"),
        pytest.param("hang", id="hang what"),
        pytest.param("gone LABEL", id="gone with a word"),
        pytest.param("drop-sessions 0", id="serial 0"),
        pytest.param("drop-sessions 1 2", id="two serials"),
        pytest.param("fail C_Encrypt 0x30\n" * 65, id="too many rules"),
    ],
)
def test_a_mistake_fails_every_call(shim: FaultShim, app: Application, line: str) -> None:
    session = app.open(app.begin())
    write_control(shim, f"# comment\n{line}\n")
    assert app.do("random", session, 4).ckr == FUNCTION_FAILED
    assert app.do("initialize").ckr == FUNCTION_FAILED
    assert "every call fails" in app.complaints
    shim.clear()
    assert app.do("random", session, 4).ckr == OK


def test_a_mistake_is_named_by_its_line(shim: FaultShim, app: Application) -> None:
    write_control(shim, "# comment\n\ngone\nfail C_Encrypted 5\n")
    assert app.do("load").ckr == FUNCTION_FAILED
    assert "control, line 4: unknown function: every call fails" in app.complaints


def test_a_missing_control_file_fails_every_call(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    Path(shim.environment["FAULTSHIM_CONTROL"]).unlink()
    assert [app.do("random", session, 4).ckr for _ in range(3)] == [FUNCTION_FAILED] * 3
    assert app.complaints.count("cannot read FAULTSHIM_CONTROL") == 1
    shim.clear()
    assert app.do("random", session, 4).ckr == OK


def test_a_mistake_ends_a_hang(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    shim.hang("C_GenerateRandom")
    app.start("random", session, 4)
    assert not app.has_answered(0.1)
    write_control(shim, "hang C_GenerateRandom\nwhat\n")
    assert app.finish().ckr == FUNCTION_FAILED


def test_a_mistake_does_not_hide_the_end_of_gone(shim: FaultShim, app: Application) -> None:
    session = app.open(app.begin())
    for text in ("gone\n", "what\n", ""):
        write_control(shim, text)
        ckr = app.do("state", session).ckr
    assert ckr == SESSION_HANDLE_INVALID


# ---- environment ----


@pytest.mark.parametrize(
    ("variable", "path", "complaint"),
    [
        pytest.param("FAULTSHIM_MODULE", "/nonexistent.so", "cannot open shared object", id="no module"),
        pytest.param("FAULTSHIM_MODULE", "libm.so.6", "C_GetFunctionList", id="not a PKCS#11 module"),
        pytest.param("FAULTSHIM_STATS", "/nonexistent/stats", "FAULTSHIM_STATS", id="no statistics"),
        pytest.param("FAULTSHIM_RECORD", "/nonexistent/record", "FAULTSHIM_RECORD", id="no record"),
    ],
)
def test_refuses_to_start(shim: FaultShim, tmp_path: Path, variable: str, path: str, complaint: str) -> None:
    with Application(shim.module, {**shim.environment, variable: path}, tmp_path / "stderr") as app:
        assert app.do("load").ckr == GENERAL_ERROR
        assert app.do("direct", "C_Initialize").ckr == GENERAL_ERROR
        assert complaint in app.complaints


def test_refuses_to_stand_before_itself(shim: FaultShim, tmp_path: Path) -> None:
    environment = {**shim.environment, "FAULTSHIM_MODULE": str(shim.module)}
    with Application(shim.module, environment, tmp_path / "stderr") as app:
        assert app.do("load").ckr == GENERAL_ERROR
        assert "no function list" in app.complaints


def test_refuses_to_start_without_a_module(shim: FaultShim, tmp_path: Path) -> None:
    with Application(shim.module, {}, tmp_path / "stderr") as app:
        assert app.do("load").ckr == GENERAL_ERROR
        assert "FAULTSHIM_MODULE does not name the real module" in app.complaints


def test_without_control_statistics_and_record_it_only_passes_through(
    shim: FaultShim, token: dict[str, str], tmp_path: Path
) -> None:
    environment = token | {"FAULTSHIM_MODULE": shim.environment["FAULTSHIM_MODULE"]}
    shim.fail("*", DEVICE_ERROR)
    with Application(shim.module, environment, tmp_path / "stderr") as app:
        session, key = app.begin_with_key()
        assert app.do("encrypt", session, key).ckr == OK
    assert shim.calls("C_Encrypt") == 0
    assert shim.recorded() == []
