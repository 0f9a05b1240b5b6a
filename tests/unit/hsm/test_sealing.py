"""Sealing and the probe in each of the ways in which tokens make IVs."""

from __future__ import annotations

import pytest

from hsmkms.errors import CiphertextError
from hsmkms.formats.blob import Sealed
from hsmkms.hsm.probe import probe_sealing
from hsmkms.hsm.profiles import PROFILES, Profile
from hsmkms.hsm.return_codes import CKR_AEAD_DECRYPT_FAILED, CkrError
from hsmkms.hsm.sealing import AmbiguousTagError, open_sealed, seal, seal_new_data_key
from tests.unit.hsm.vendor_tokens import AppendingToken, InPlaceToken, RepeatingToken, VendorToken

AAD = bytes(68)
MATCHING = [
    pytest.param("softhsm", VendorToken, id="softhsm: caller"),
    pytest.param("luna", VendorToken, id="luna: caller"),
    pytest.param("utimaco", VendorToken, id="utimaco: caller"),
    pytest.param("nshield", InPlaceToken, id="nshield: in place"),
    pytest.param("cloudhsm", InPlaceToken, id="cloudhsm: in place"),
    pytest.param("luna-fips", AppendingToken, id="luna-fips: appended"),
]


@pytest.mark.parametrize(("name", "kind"), MATCHING)
def test_opens_what_it_sealed_and_the_iv_is_in_it(name: str, kind: type[VendorToken]) -> None:
    profile, token = PROFILES[name], kind()
    sealed = seal(token, profile, 1, AAD, b"plaintext")
    assert len(sealed.iv) == profile.iv_length
    assert len(sealed.ciphertext) == len(b"plaintext") + 16
    assert open_sealed(token, profile, 1, AAD, sealed) == b"plaintext"
    assert seal(token, profile, 1, AAD, b"plaintext").iv != sealed.iv


@pytest.mark.parametrize(("name", "kind"), MATCHING)
def test_seals_a_data_key_of_the_token(name: str, kind: type[VendorToken]) -> None:
    profile, token = PROFILES[name], kind()
    data_key, sealed = seal_new_data_key(token, profile, 1, AAD, 32)
    assert len(data_key) == 32
    assert open_sealed(token, profile, 1, AAD, sealed) == data_key
    assert sealed.iv not in data_key
    assert len(token.randoms) == 1


@pytest.mark.parametrize(("name", "kind"), MATCHING)
def test_the_probe_passes_a_profile_that_fits(name: str, kind: type[VendorToken]) -> None:
    assert all(result.passed for result in probe_sealing(kind(), PROFILES[name], 1, bytes(16)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param("nshield", VendorToken, id="takes the zero IV as it is"),
        pytest.param("luna-fips", InPlaceToken, id="wants zeros, gets none"),
        pytest.param("nshield", AppendingToken, id="wants none, gets zeros"),
        pytest.param("softhsm", InPlaceToken, id="makes its own, gets one"),
        pytest.param("softhsm", AppendingToken, id="appends, unexpectedly"),
        pytest.param("nshield", RepeatingToken, id="repeats its IV in place"),
        pytest.param("luna-fips", RepeatingToken, id="repeats its IV behind the tag"),
        pytest.param("softhsm", RepeatingToken, id="ignores the caller's IV for one of its own"),
    ],
)
def test_the_probe_refuses_a_profile_that_does_not_fit(name: str, kind: type[VendorToken]) -> None:
    results = probe_sealing(kind(), PROFILES[name], 1, bytes(16))
    assert not all(result.passed for result in results)


class HeedlessToken(VendorToken):
    """Leaves out the additional data."""

    def encrypt_gcm(self, key: int, iv: bytes, _aad: bytes, plaintext: bytes) -> bytes:
        return super().encrypt_gcm(key, iv, b"", plaintext)

    def decrypt_gcm(self, key: int, iv: bytes, _aad: bytes, ciphertext: bytes) -> bytes:
        return super().decrypt_gcm(key, iv, b"", ciphertext)


def test_the_probe_refuses_a_token_that_binds_no_additional_data() -> None:
    results = probe_sealing(HeedlessToken(), PROFILES["softhsm"], 1, bytes(16))
    assert [result.name for result in results if not result.passed] == ["other additional data is refused"]


def test_a_code_for_bad_tags_that_the_profile_does_not_list_is_refused() -> None:
    results = probe_sealing(VendorToken(bad_tag=0x21), PROFILES["softhsm"], 1, bytes(16))
    refused = [result for result in results if not result.passed]
    assert [result.name for result in refused] == ["bad tag is refused", "other additional data is refused"]
    assert all("not among the codes" in result.detail for result in refused)


@pytest.mark.parametrize(
    ("profile", "code", "error"),
    [
        pytest.param(PROFILES["softhsm"], CKR_AEAD_DECRYPT_FAILED, CiphertextError, id="definite"),
        pytest.param(PROFILES["softhsm"], 0x40, CiphertextError, id="softhsm 2.7"),
        pytest.param(PROFILES["softhsm"], 0x05, AmbiguousTagError, id="softhsm 2.6"),
        pytest.param(PROFILES["nshield"], 0x06, AmbiguousTagError, id="nshield"),
        pytest.param(PROFILES["softhsm"], 0x30, CkrError, id="device error"),
        pytest.param(PROFILES["softhsm"], 0x06, CkrError, id="another vendor's code"),
    ],
)
def test_tells_a_bad_tag_from_a_failure(profile: Profile, code: int, error: type[Exception]) -> None:
    token = InPlaceToken(code) if profile.name == "nshield" else VendorToken(code)
    sealed = seal(token, profile, 1, AAD, b"x")
    with pytest.raises(error):
        open_sealed(token, profile, 1, AAD + b"\1", sealed)


def test_what_was_sealed_under_another_profile_opens() -> None:
    """A Luna that was put into FIPS mode makes longer IVs from then on, and opens its old ciphertexts."""
    token = VendorToken()
    sealed = seal(token, PROFILES["luna"], 1, AAD, b"before")
    assert open_sealed(token, PROFILES["luna-fips"], 1, AAD, sealed) == b"before"


def test_a_form_that_no_token_makes_does_not_reach_it() -> None:
    token = VendorToken()
    for sealed in (Sealed(bytes(13), bytes(32)), Sealed(b"", bytes(32)), Sealed(bytes(12), bytes(15))):
        with pytest.raises(CiphertextError):
            open_sealed(token, PROFILES["softhsm"], 1, AAD, sealed)
    assert token.decryptions == 0
