"""Encrypt, Decrypt, ReEncrypt and the data keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsmkms.errors import (
    AccessDeniedError,
    CiphertextError,
    DryRunError,
    IncorrectKeyError,
    InvalidGrantTokenError,
    InvalidKeyUsageError,
    KeyDisabledError,
    KeyStateError,
    KeyUnavailableError,
    KmsError,
    NotFoundError,
)
from hsmkms.formats.blob import Suite, parse_blob, serialize_blob
from hsmkms.model.keys import EncryptionAlgorithm, Key, KeyState
from hsmkms.ports.hsm import Readiness, ReadinessState
from hsmkms.service.call import Call, WouldBlockSignal
from hsmkms.service.results import ReEncrypted
from tests.hsm_fakes import FakeHsm
from tests.unit.service.region import OTHER_ACCOUNT, RegionUnderTest, build_region, call

CONTEXT = {"purpose": "test", "é": "ü"}
ABSENT = "00000000-0000-4000-8000-000000000000"


def encrypt(region: RegionUnderTest, key: Key, plaintext: bytes = b"hello") -> bytes:
    return region.kms.encrypt(call(), key.key_id, plaintext, CONTEXT, dry_run=False).ciphertext_blob


def decrypt(region: RegionUnderTest, blob: bytes, context: dict[str, str], **kwargs: str) -> bytes:
    key_ref = kwargs.get("key_ref")
    return region.kms.decrypt(call("Decrypt"), blob, context, key_ref=key_ref, dry_run=False).plaintext


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plaintext=st.binary(min_size=1, max_size=4096),
    context=st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5),
)
def test_what_was_encrypted_is_decrypted(
    region: RegionUnderTest, key: Key, plaintext: bytes, context: dict[str, str]
) -> None:
    sealed = region.kms.encrypt(call(), key.key_id, plaintext, context, dry_run=False)
    opened = region.kms.decrypt(call("Decrypt"), sealed.ciphertext_blob, context, key_ref=None, dry_run=False)
    assert opened.plaintext == plaintext
    assert opened.key_arn == sealed.key_arn == region.kms.key_arn(key)
    assert opened.key_material_id == region.kms.key_material_id(key)


def test_the_same_plaintext_never_seals_alike(region: RegionUnderTest, key: Key) -> None:
    assert len({encrypt(region, key) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "context",
    [
        pytest.param({}, id="none"),
        pytest.param({"purpose": "test"}, id="a pair less"),
        pytest.param({**CONTEXT, "more": "1"}, id="a pair more"),
        pytest.param({"Purpose": "test", "é": "ü"}, id="case of a name"),
        pytest.param({"purpose": "Test", "é": "ü"}, id="case of a value"),
    ],
)
def test_another_context_opens_nothing(region: RegionUnderTest, key: Key, context: dict[str, str]) -> None:
    with pytest.raises(CiphertextError):
        decrypt(region, encrypt(region, key), context)


def test_every_byte_of_a_blob_counts(region: RegionUnderTest, key: Key) -> None:
    blob = encrypt(region, key)
    for place in range(len(blob)):
        changed = blob[:place] + bytes((blob[place] ^ 1,)) + blob[place + 1 :]
        # A blob that names another key is AWS's AccessDenied; everything else looks the same.
        expected: type[KmsError] = AccessDeniedError if 2 <= place < 18 else CiphertextError
        with pytest.raises(expected) as refusal:
            decrypt(region, changed, CONTEXT)
        if expected is CiphertextError:
            assert str(refusal.value) == ""


def test_a_suite_cannot_be_changed(region: RegionUnderTest, key: Key) -> None:
    blob = parse_blob(encrypt(region, key))
    forged = type(blob)(Suite.WRAPPED_DATA_KEY, blob.key_id, blob.material_id, blob.sealed)
    with pytest.raises(CiphertextError):
        decrypt(region, serialize_blob(forged), CONTEXT)


def test_the_key_that_is_named_has_to_be_the_right_one(region: RegionUnderTest, key: Key) -> None:
    other = region.kms.create_key(call("CreateKey"), description="", tags=())
    blob = encrypt(region, key)
    assert decrypt(region, blob, CONTEXT, key_ref=key.key_id) == b"hello"
    with pytest.raises(IncorrectKeyError):
        decrypt(region, blob, CONTEXT, key_ref=other.key_id)


def test_another_accounts_blob_looks_like_nobodys(region: RegionUnderTest, key: Key, tmp_path: Path) -> None:
    elsewhere = build_region(tmp_path / "elsewhere")
    foreign_key = elsewhere.kms.create_key(call("CreateKey"), description="", tags=())
    messages = set()
    for blob, caller in (
        (encrypt(region, key), call("Decrypt", OTHER_ACCOUNT)),
        (encrypt(elsewhere, foreign_key), call("Decrypt")),
    ):
        with pytest.raises(AccessDeniedError) as refusal:
            region.kms.decrypt(caller, blob, CONTEXT, key_ref=None, dry_run=False)
        messages.add(str(refusal.value))
    (message,) = messages
    assert message == (
        "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
        "or you are not allowed to access."
    )


@pytest.mark.parametrize(
    ("state", "error", "phrase"),
    [
        pytest.param(KeyState.DISABLED, KeyDisabledError, "is disabled.", id="disabled"),
        pytest.param(KeyState.PENDING_DELETION, KeyStateError, "is pending deletion.", id="pending deletion"),
        pytest.param(KeyState.UNAVAILABLE, KeyStateError, "is unavailable.", id="unavailable"),
    ],
)
def test_a_key_that_is_not_enabled_does_nothing(
    region: RegionUnderTest, key: Key, state: KeyState, error: type[KmsError], phrase: str
) -> None:
    blob = encrypt(region, key)
    with region.keys.change() as change:
        change.set_state(key.key_id, state)
    kms = region.kms
    for verb in (
        lambda: encrypt(region, key),
        lambda: decrypt(region, blob, CONTEXT),
        lambda: kms.generate_data_key(call(), key.key_id, {}, length=32, dry_run=False),
        lambda: kms.generate_data_key_without_plaintext(call(), key.key_id, {}, length=32, dry_run=False),
    ):
        with pytest.raises(error) as refusal:
            verb()
        assert str(refusal.value) == f"{region.kms.key_arn(key)} {phrase}"


def re_encrypt(
    region: RegionUnderTest, blob: bytes, context: dict[str, str], destination: str, *, dry_run: bool
) -> ReEncrypted:
    return region.kms.re_encrypt(
        call("ReEncrypt"),
        blob,
        source_key_ref=None,
        source_context=context,
        destination_key_ref=destination,
        destination_context={},
        dry_run=dry_run,
    )


def test_a_rehearsal_stops_after_every_check(region: RegionUnderTest, key: Key) -> None:
    blob = encrypt(region, key)
    kms = region.kms
    before = dict(region.counters.counts())
    for verb in (
        lambda: kms.encrypt(call(), key.key_id, b"x", {}, dry_run=True),
        lambda: kms.decrypt(call(), blob, CONTEXT, key_ref=None, dry_run=True),
        lambda: kms.generate_data_key(call(), key.key_id, {}, length=32, dry_run=True),
        lambda: kms.generate_data_key_without_plaintext(call(), key.key_id, {}, length=32, dry_run=True),
        lambda: re_encrypt(region, blob, CONTEXT, key.key_id, dry_run=True),
        lambda: kms.rehearse_decrypt(call(), key.key_id, {}),
        lambda: rehearse_re_encrypt(region, key.key_id, key.key_id),
    ):
        with pytest.raises(DryRunError):
            verb()
    assert region.counters.counts() == before
    with pytest.raises(KmsError, match="does not exist"):
        kms.encrypt(call(), ABSENT, b"x", {}, dry_run=True)


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("wraps", [True, False])
def test_a_rehearsal_looks_into_the_ciphertext_as_the_real_thing_does(
    tmp_path: Path, wraps: bool, dry_run: bool
) -> None:
    region = build_region(tmp_path, hsm=FakeHsm(wraps_data_keys=wraps))
    key = region.kms.create_key(call("CreateKey"), description="", tags=())
    blob = region.kms.generate_data_key_without_plaintext(
        call(), key.key_id, CONTEXT, length=32, dry_run=False
    ).ciphertext_blob
    damaged = blob[:-1] + bytes((blob[-1] ^ 1,))
    for some_blob, context in ((blob, {}), (damaged, CONTEXT)):
        with pytest.raises(CiphertextError):
            region.kms.decrypt(call(), some_blob, context, key_ref=None, dry_run=dry_run)
        with pytest.raises(CiphertextError):
            re_encrypt(region, some_blob, context, key.key_id, dry_run=dry_run)


def test_a_rehearsal_needs_no_budget(region: RegionUnderTest, key: Key) -> None:
    blob = encrypt(region, key)
    region.kms.budget.give_back()
    here = call("ReEncrypt", may_block=False)
    for dry_run, told in ((True, DryRunError), (False, WouldBlockSignal)):
        with pytest.raises(told):
            region.kms.re_encrypt(
                here,
                blob,
                source_key_ref=None,
                source_context=CONTEXT,
                destination_key_ref=key.key_id,
                destination_context={},
                dry_run=dry_run,
            )


@pytest.mark.parametrize(
    ("which", "error"),
    [
        pytest.param("absent", NotFoundError, id="no such key"),
        pytest.param("disabled", KeyDisabledError, id="disabled"),
    ],
)
def test_a_rehearsal_without_ciphertext_asks_for_leave_and_state(
    region: RegionUnderTest, key: Key, which: str, error: type[KmsError]
) -> None:
    other = region.kms.create_key(call("CreateKey"), description="", tags=())
    region.kms.disable_key(call("DisableKey"), other.key_id)
    key_ref = {"absent": ABSENT, "disabled": other.key_id}[which]
    kms = region.kms
    verbs: tuple[Callable[[], object], ...] = (
        lambda: kms.rehearse_decrypt(call(), key_ref, {}),
        lambda: rehearse_re_encrypt(region, key_ref, key.key_id),
        lambda: rehearse_re_encrypt(region, key.key_id, key_ref),
    )
    for verb in verbs:
        with pytest.raises(error):
            verb()


RSA = EncryptionAlgorithm.RSAES_OAEP_SHA_256


def rehearse_re_encrypt(
    region: RegionUnderTest, source: str, destination: str, **algorithms: EncryptionAlgorithm
) -> None:
    region.kms.rehearse_re_encrypt(
        call("ReEncrypt"),
        source_key_ref=source,
        source_context={},
        destination_key_ref=destination,
        destination_context={},
        **algorithms,
    )


def with_another_algorithm(region: RegionUnderTest, key_ref: str, blob: bytes) -> list[Callable[[], object]]:
    """Each verb that takes an algorithm, asked for one that no symmetric key has."""
    kms = region.kms

    def re_encrypt(source: str | None, **algorithm: EncryptionAlgorithm) -> object:
        return kms.re_encrypt(
            call("ReEncrypt"),
            blob,
            source_key_ref=source,
            source_context=CONTEXT,
            destination_key_ref=key_ref,
            destination_context={},
            dry_run=False,
            **algorithm,
        )

    return [
        lambda: kms.encrypt(call(), key_ref, b"x", {}, algorithm=RSA, dry_run=False),
        lambda: kms.decrypt(call(), b"offline", {}, key_ref=key_ref, algorithm=RSA, dry_run=False),
        lambda: kms.rehearse_decrypt(call(), key_ref, {}, algorithm=RSA),
        lambda: re_encrypt(key_ref, source_algorithm=RSA),
        lambda: re_encrypt(None, destination_algorithm=RSA),
        lambda: rehearse_re_encrypt(region, key_ref, key_ref, source_algorithm=RSA),
        lambda: rehearse_re_encrypt(region, key_ref, key_ref, destination_algorithm=RSA),
    ]


def test_an_algorithm_that_the_key_does_not_have_is_refused(region: RegionUnderTest, key: Key) -> None:
    blob = encrypt(region, key)
    verbs = with_another_algorithm(region, key.key_id, blob)
    verbs.append(
        lambda: region.kms.decrypt(call(), blob, CONTEXT, key_ref=None, algorithm=RSA, dry_run=False)
    )
    for verb in verbs:
        with pytest.raises(InvalidKeyUsageError) as refusal:
            verb()
        assert str(refusal.value) == (
            "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT."
        )


def test_an_algorithm_is_judged_after_the_key_and_its_state(region: RegionUnderTest, key: Key) -> None:
    blob = encrypt(region, key)
    foreign = region.kms.key_arn(key).replace(key.account, OTHER_ACCOUNT)
    for key_ref, error in ((ABSENT, NotFoundError), (foreign, AccessDeniedError)):
        for verb in with_another_algorithm(region, key_ref, blob):
            with pytest.raises(error):
                verb()
    region.kms.disable_key(call("DisableKey"), key.key_id)
    for verb in with_another_algorithm(region, key.key_id, blob):
        with pytest.raises(KeyDisabledError):
            verb()


def test_grant_tokens_are_judged_once_there_is_a_key(region: RegionUnderTest, key: Key) -> None:
    blob = encrypt(region, key)

    def granted() -> Call:
        return replace(call(), grant_tokens=("token",))

    kms = region.kms
    for key_ref, error in ((key.key_id, InvalidGrantTokenError), (ABSENT, NotFoundError)):
        with pytest.raises(error):
            kms.encrypt(granted(), key_ref, b"x", {}, dry_run=False)
    kms.create_alias(call(), "alias/app", key.key_id)
    for alias, error in (("alias/app", InvalidGrantTokenError), ("alias/none", NotFoundError)):
        with pytest.raises(error):
            kms.describe_key(granted(), alias)
    with pytest.raises(InvalidGrantTokenError):
        kms.decrypt(granted(), blob, CONTEXT, key_ref=None, dry_run=False)


@pytest.mark.parametrize("length", [1, 16, 24, 32, 1024])
def test_a_data_key_opens_to_what_was_given(region: RegionUnderTest, key: Key, length: int) -> None:
    data_key = region.kms.generate_data_key(call(), key.key_id, CONTEXT, length=length, dry_run=False)
    assert len(data_key.plaintext) == length
    assert decrypt(region, data_key.ciphertext_blob, CONTEXT) == data_key.plaintext
    assert "plaintext" not in repr(data_key)


@pytest.mark.parametrize(
    ("wraps", "length", "suite"),
    [
        pytest.param(True, 16, Suite.WRAPPED_DATA_KEY, id="16 bytes, born in the token"),
        pytest.param(True, 32, Suite.WRAPPED_DATA_KEY, id="32 bytes, born in the token"),
        pytest.param(True, 24, Suite.PLAINTEXT, id="a length that tokens unwrap wrongly"),
        pytest.param(False, 32, Suite.PLAINTEXT, id="a token that cannot go round the circle"),
    ],
)
def test_where_a_sealed_data_key_is_born(tmp_path: Path, wraps: bool, length: int, suite: Suite) -> None:
    region = build_region(tmp_path, hsm=FakeHsm(wraps_data_keys=wraps))
    key = region.kms.create_key(call("CreateKey"), description="", tags=())
    sealed = region.kms.generate_data_key_without_plaintext(
        call(), key.key_id, CONTEXT, length=length, dry_run=False
    )
    assert parse_blob(sealed.ciphertext_blob).suite is suite
    assert len(decrypt(region, sealed.ciphertext_blob, CONTEXT)) == length
    with pytest.raises(CiphertextError):
        decrypt(region, sealed.ciphertext_blob, {})


@pytest.mark.parametrize("wraps", [True, False])
def test_re_encrypt_moves_key_and_context_and_keeps_the_suite(tmp_path: Path, wraps: bool) -> None:
    region = build_region(tmp_path, hsm=FakeHsm(wraps_data_keys=wraps))
    source = region.kms.create_key(call("CreateKey"), description="", tags=())
    destination = region.kms.create_key(call("CreateKey"), description="", tags=())
    sealed = region.kms.generate_data_key_without_plaintext(
        call(), source.key_id, CONTEXT, length=32, dry_run=False
    )
    asked = call("ReEncrypt")
    moved = region.kms.re_encrypt(
        asked,
        sealed.ciphertext_blob,
        source_key_ref=source.key_id,
        source_context=CONTEXT,
        destination_key_ref=destination.key_id,
        destination_context={"new": "1"},
        dry_run=False,
    )
    assert moved.source_key_arn == region.kms.key_arn(source)
    assert moved.destination_key_arn == region.kms.key_arn(destination)
    assert moved.source_key_material_id == region.kms.key_material_id(source)
    assert moved.destination_key_material_id == region.kms.key_material_id(destination)
    noted = {name: told for name, told in asked.additional.items() if name != "decisions"}
    assert noted == {
        "sourceKeyMaterialId": moved.source_key_material_id,
        "destinationKeyMaterialId": moved.destination_key_material_id,
    }
    assert parse_blob(moved.ciphertext_blob).suite is parse_blob(sealed.ciphertext_blob).suite
    assert decrypt(region, moved.ciphertext_blob, {"new": "1"}) == decrypt(
        region, sealed.ciphertext_blob, CONTEXT
    )


def test_an_iv_of_16_bytes_goes_round(tmp_path: Path) -> None:
    region = build_region(tmp_path, hsm=FakeHsm(iv_length=16))
    key = region.kms.create_key(call("CreateKey"), description="", tags=())
    assert decrypt(region, encrypt(region, key), CONTEXT) == b"hello"


def test_a_key_that_stood_in_the_store_of_another_token_opens_nothing(
    region: RegionUnderTest, key: Key
) -> None:
    blob = encrypt(region, key)
    region.hsm.objects.clear()
    with pytest.raises(KeyUnavailableError):
        decrypt(region, blob, CONTEXT)


def test_a_version_that_the_store_does_not_know_opens_nothing(region: RegionUnderTest, key: Key) -> None:
    blob = parse_blob(encrypt(region, key))
    unknown = type(blob)(blob.suite, blob.key_id, type(blob.material_id)(bytes(16)), blob.sealed)
    asked = call("Decrypt")
    with pytest.raises(CiphertextError):
        region.kms.decrypt(asked, serialize_blob(unknown), CONTEXT, key_ref=None, dry_run=False)
    assert "keyMaterialId" not in asked.additional, "it would name a version that had no part in this"
    assert asked.resources == [region.kms.key_arn(key)]


def test_a_token_that_is_away_is_said_to_be(region: RegionUnderTest, key: Key) -> None:
    region.hsm.state = Readiness(ReadinessState.AWAY, "cable")
    with pytest.raises(KeyUnavailableError):
        encrypt(region, key)


def test_on_an_event_loop_a_verb_says_that_it_would_block_before_it_does_anything(
    region: RegionUnderTest, key: Key
) -> None:
    region.kms.budget.give_back()
    here = call(may_block=False)
    with pytest.raises(WouldBlockSignal):
        region.kms.encrypt(here, key.key_id, b"x", {}, dry_run=False)
    with pytest.raises(WouldBlockSignal):
        region.kms.generate_data_key(here, key.key_id, {}, length=32, dry_run=False)
    with pytest.raises(WouldBlockSignal):
        region.kms.generate_data_key_without_plaintext(here, key.key_id, {}, length=32, dry_run=False)
    # What CreateKey took for the check value is all that was ever used.
    assert [count.reserved for count in region.counters.counts().values()] == [1]


def test_what_data_keys_are_wrapped_under_is_noted_before_the_first_goes_out(
    region: RegionUnderTest, key: Key
) -> None:
    def wrapped(*, may_block: bool) -> bytes:
        return region.kms.generate_data_key_without_plaintext(
            call(may_block=may_block), key.key_id, {}, length=32, dry_run=False
        ).ciphertext_blob

    encrypt(region, key)
    assert region.keys.noted_wrappings() == frozenset()
    with pytest.raises(WouldBlockSignal):
        wrapped(may_block=False)
    assert parse_blob(wrapped(may_block=True)).suite is Suite.WRAPPED_DATA_KEY
    assert region.keys.noted_wrappings() == {region.hsm.wrapping_id}
    # From then on nothing waits for a disk.
    assert parse_blob(wrapped(may_block=False)).suite is Suite.WRAPPED_DATA_KEY


def test_random_bytes_have_the_length_asked_for(region: RegionUnderTest) -> None:
    assert len(region.kms.generate_random(call("GenerateRandom"), 1024)) == 1024
    assert region.kms.generate_random(call(), 32) != region.kms.generate_random(call(), 32)
