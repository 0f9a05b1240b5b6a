"""What ``hsmkms dev`` lays out in its directory before any token call."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hsmkms.config import load_settings
from hsmkms.model.names import Region
from hsmkms.wiring.development import DEFAULT_REGION, find_softhsm, lay_out, softhsm_settings
from hsmkms.wiring.preparation import PreparationError, SettingsConflictError

EAST, WEST = Region("eu-east-1"), Region("eu-west-1")


@pytest.fixture(autouse=True)
def softhsm_is_there() -> None:
    try:
        find_softhsm()
    except PreparationError as error:
        pytest.skip(str(error))


def pins(data: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (data / "pins").iterdir()}


def test_an_empty_directory_gets_the_default_region(tmp_path: Path) -> None:
    assert list(lay_out(tmp_path, []).regions) == [DEFAULT_REGION]


def test_regions_are_added_and_none_is_lost_or_changed(tmp_path: Path) -> None:
    assert list(lay_out(tmp_path, [WEST]).regions) == [WEST]
    before = pins(tmp_path)
    settings = lay_out(tmp_path, [EAST, WEST, EAST])
    assert list(settings.regions) == [WEST, EAST]
    assert pins(tmp_path).items() > before.items()
    assert lay_out(tmp_path, []) == settings


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash", "ünïcode", "a b", "{braces}", "per%cent"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    data = tmp_path / name
    data.mkdir()
    settings = lay_out(data, [WEST])
    assert settings.data == data
    assert settings.regions[WEST].pin_file == data / "pins" / f"{WEST}.user"


@pytest.mark.parametrize("name", ["two\nlines", "#hash", "half#"])
def test_but_one_that_softhsm_would_cut(tmp_path: Path, name: str) -> None:
    for refuse in (
        lambda: lay_out(tmp_path / name, [WEST]),
        lambda: softhsm_settings(tmp_path / name, "label"),
    ):
        with pytest.raises(SettingsConflictError, match="neither '#' nor control characters"):
            refuse()
    assert list(tmp_path.iterdir()) == []


def test_a_region_whose_label_would_be_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsConflictError, match="too long a name"):
        lay_out(tmp_path, [Region("abcdefghijklmnop-abcdefghijkl-1")])


def test_pins_outlive_the_settings_file(tmp_path: Path) -> None:
    """The tokens that they belong to are still there."""
    lay_out(tmp_path, [WEST])
    before = pins(tmp_path)
    (tmp_path / "hsmkms.toml").unlink()
    lay_out(tmp_path, [WEST])
    assert pins(tmp_path) == before


def test_a_copy_does_not_work_on_the_original(tmp_path: Path) -> None:
    lay_out(tmp_path / "original", [WEST])
    copy = shutil.copytree(tmp_path / "original", tmp_path / "copy")
    with pytest.raises(SettingsConflictError, match="original"):
        lay_out(copy, [WEST, EAST])
    assert list(load_settings(copy / "hsmkms.toml").regions) == [WEST]


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "pins").touch()
    with pytest.raises(PreparationError, match="pins"):
        lay_out(tmp_path, [WEST])
