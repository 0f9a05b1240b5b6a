"""The life of a key through boto3 and the AWS CLI: rotation, deletion, imported material, spent versions."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from hsmkms.model.imports import WrappingAlgorithm
from hsmkms.testing.server import DevServer
from hsmkms.wiring.development import lay_out
from tests.acceptance.clients import client, new_key, refusal
from tests.acceptance.lifecycle import (
    Import,
    all_versions,
    everywhere,
    material_ids,
    metadata_of,
    opened,
    records_of,
    refused_everywhere,
    run_script,
)
from tests.acceptance.polling import wait_until

PLAINTEXT: Final = b"kept for years"
ON_DEMAND_ROTATIONS: Final = 25
LIMIT: Final = 64

# --- rotation --------------------------------------------------------------------------------------------


def test_rotation_is_switched_on_and_off(kms: Any) -> None:
    key = new_key(kms)
    status = kms.get_key_rotation_status(KeyId=key)
    status.pop("ResponseMetadata")
    assert status == {"KeyId": key, "KeyRotationEnabled": False}
    for days in (90, 365, 2560):
        before = datetime.now(UTC)
        kms.enable_key_rotation(KeyId=key, **({} if days == 365 else {"RotationPeriodInDays": days}))
        status = kms.get_key_rotation_status(KeyId=key)
        assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, days)
        wait = status["NextRotationDate"] - before - timedelta(days=days)
        assert timedelta(seconds=-1) <= wait < timedelta(seconds=30)
        assert "OnDemandRotationStartDate" not in status
    kms.disable_key_rotation(KeyId=key)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    assert kms.list_key_rotations(KeyId=key)["Rotations"] == []


def test_a_rotated_key_seals_with_the_new_version_and_opens_with_each(server: DevServer, kms: Any) -> None:
    key = new_key(kms)
    versions = [metadata_of(kms, key)["CurrentKeyMaterialId"]]
    blobs = [kms.encrypt(KeyId=key, Plaintext=PLAINTEXT)["CiphertextBlob"]]
    for _ in range(2):
        assert kms.rotate_key_on_demand(KeyId=key)["KeyId"] == key
        # At once and in both workers, before anything else could tell them.
        (current,) = material_ids(server, key)
        assert current == metadata_of(kms, key)["CurrentKeyMaterialId"]
        versions.append(current)
        blobs.append(kms.encrypt(KeyId=key, Plaintext=PLAINTEXT)["CiphertextBlob"])
    assert len(set(versions)) == 3
    for version, blob in zip(versions, blobs, strict=True):
        assert opened(server, blob) == {(PLAINTEXT, version)}


def test_re_encrypt_moves_forward_to_the_new_version(server: DevServer, kms: Any) -> None:
    key = new_key(kms)
    old = metadata_of(kms, key)["CurrentKeyMaterialId"]
    blob = kms.encrypt(KeyId=key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=key)
    new = metadata_of(kms, key)["CurrentKeyMaterialId"]
    answers = everywhere(server, lambda kms: kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key))
    moved = {(answer["SourceKeyMaterialId"], answer["DestinationKeyMaterialId"]) for answer in answers}
    assert moved == {(old, new)}
    assert opened(server, answers[0]["CiphertextBlob"]) == {(PLAINTEXT, new)}


def test_rotations_are_listed_over_pages(kms: Any) -> None:
    key = new_key(kms)
    versions = [metadata_of(kms, key)["CurrentKeyMaterialId"]]
    for _ in range(4):
        kms.rotate_key_on_demand(KeyId=key)
        versions.append(metadata_of(kms, key)["CurrentKeyMaterialId"])
    first, *rotated = all_versions(kms, key)
    assert first == {"KeyId": key, "KeyMaterialId": versions[0], "KeyMaterialState": "NON_CURRENT"}
    assert [entry["KeyMaterialId"] for entry in rotated] == versions[1:]
    assert [entry["KeyMaterialState"] for entry in rotated] == ["NON_CURRENT"] * 3 + ["CURRENT"]
    assert {entry["RotationType"] for entry in rotated} == {"ON_DEMAND"}
    dates = [entry["RotationDate"] for entry in rotated]
    assert dates == sorted(dates)
    pages: list[Any] = []
    marker: dict[str, str] = {}
    while True:
        page = kms.list_key_rotations(KeyId=key, Limit=3, **marker)
        pages.append(page["Rotations"])
        if not page["Truncated"]:
            assert "NextMarker" not in page
            break
        marker = {"Marker": page["NextMarker"]}
    # The default leaves out the version that no rotation made.
    assert pages == [rotated[:3], rotated[3:]]
    other = refusal(kms.list_key_rotations, KeyId=new_key(kms), **marker)
    assert other.code == "InvalidMarkerException"


def test_a_key_is_rotated_on_demand_so_often_and_no_more(server: DevServer, kms: Any) -> None:
    key = new_key(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    first = metadata_of(kms, key)["CurrentKeyMaterialId"]
    for _ in range(ON_DEMAND_ROTATIONS):
        kms.rotate_key_on_demand(KeyId=key)
    code, message = refused_everywhere(server, "rotate_key_on_demand", KeyId=key)
    assert code == "LimitExceededException"
    assert f"{ON_DEMAND_ROTATIONS} times" in message
    assert len(all_versions(kms, key)) == 1 + ON_DEMAND_ROTATIONS
    assert opened(server, blob) == {(PLAINTEXT, first)}


def test_operators_who_rotate_at_once_make_no_more_versions_than_were_answered(
    server: DevServer, kms: Any
) -> None:
    key = new_key(kms)
    clients = [client(server) for _ in range(8)]
    start = threading.Barrier(len(clients))

    def rotate(own: Any) -> str:
        start.wait()
        try:
            own.rotate_key_on_demand(KeyId=key)
        except own.exceptions.ConflictException:
            return "conflict"
        return "done"

    with ThreadPoolExecutor(len(clients)) as pool:
        outcomes = Counter(pool.map(rotate, clients))
    made = [entry for entry in all_versions(kms, key) if "RotationType" in entry]
    assert 1 <= len(made) <= outcomes["done"]
    # Each of the others had the same version, or was refused.
    assert len(made) < len(clients)
    assert material_ids(server, key) == {made[-1]["KeyMaterialId"]}


# --- last use --------------------------------------------------------------------------------------------


def test_the_last_use_of_a_key(server: DevServer, kms: Any) -> None:
    made = kms.create_key()["KeyMetadata"]
    key = made["KeyId"]
    # Workers write down once a minute what they know; the one who is asked does so at once.
    own = client(server)
    unused = own.get_key_last_usage(KeyId=key)
    assert (unused["KeyId"], unused["KeyLastUsage"]) == (key, {})
    assert unused["KeyCreationDate"] == made["CreationDate"]
    assert unused["TrackingStartDate"] >= made["CreationDate"] - timedelta(seconds=1)
    sealed = own.encrypt(KeyId=key, Plaintext=PLAINTEXT)
    assert own.get_key_last_usage(KeyId=key)["KeyLastUsage"]["Operation"] == "Encrypt"
    kms.rotate_key_on_demand(KeyId=key)
    answer = own.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    # What is refused or only looks at the key is no use of it.
    refusal(own.decrypt, CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"a": "b"})
    refusal(own.encrypt, KeyId=key, Plaintext=PLAINTEXT, DryRun=True)
    own.describe_key(KeyId=key)
    last = own.get_key_last_usage(KeyId=key)["KeyLastUsage"]
    assert (last["Operation"], last["KmsRequestId"]) == ("Decrypt", answer["ResponseMetadata"]["RequestId"])
    assert abs(datetime.now(UTC) - last["Timestamp"]) < timedelta(seconds=30)
    recorded = {record["eventID"]: record for record in records_of(server, made["Arn"])}
    assert recorded[last["CloudTrailEventId"]]["requestID"] == last["KmsRequestId"]


# --- deletion --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "days"),
    [
        pytest.param({"PendingWindowInDays": 7}, 7, id="the shortest"),
        pytest.param({}, 30, id="AWS's default"),
    ],
)
def test_a_key_that_is_going_does_nothing_until_it_is_kept(
    server: DevServer, kms: Any, asked: dict[str, int], days: int
) -> None:
    key = new_key(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    kms.enable_key_rotation(KeyId=key)
    before = datetime.now(UTC)
    scheduled = kms.schedule_key_deletion(KeyId=key, **asked)
    arn = scheduled["KeyId"]
    assert arn == f"arn:aws:kms:us-east-1:{server.account}:key/{key}"
    assert (scheduled["KeyState"], scheduled["PendingWindowInDays"]) == ("PendingDeletion", days)
    wait = scheduled["DeletionDate"] - before - timedelta(days=days)
    assert timedelta(seconds=-1) <= wait < timedelta(seconds=30)
    pending = ("KMSInvalidStateException", f"{arn} is pending deletion.")
    assert refused_everywhere(server, "decrypt", CiphertextBlob=blob) == pending
    assert refused_everywhere(server, "encrypt", KeyId=key, Plaintext=b"x") == pending
    for method, more in (
        *(("enable_key", {}), ("disable_key", {}), ("rotate_key_on_demand", {})),
        *(("schedule_key_deletion", {}), ("create_alias", {"AliasName": "alias/too-late"})),
        ("update_key_description", {"Description": "too late"}),
    ):
        name = "TargetKeyId" if method == "create_alias" else "KeyId"
        told = refusal(getattr(kms, method), **{name: key}, **more)
        assert (told.code, told.message) == pending, method
    metadata = metadata_of(kms, key)
    assert (metadata["KeyState"], metadata["Enabled"]) == ("PendingDeletion", False)
    assert metadata["DeletionDate"] == scheduled["DeletionDate"]
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    assert kms.cancel_key_deletion(KeyId=key)["KeyId"] == arn
    metadata = metadata_of(kms, key)
    assert (metadata["KeyState"], "DeletionDate" in metadata) == ("Disabled", False)
    assert refused_everywhere(server, "decrypt", CiphertextBlob=blob)[0] == "DisabledException"
    kms.enable_key(KeyId=key)
    assert opened(server, blob) == {(PLAINTEXT, metadata["CurrentKeyMaterialId"])}
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True


# --- imported material -----------------------------------------------------------------------------------


@pytest.fixture(
    params=[
        pytest.param(WrappingAlgorithm.RSAES_OAEP_SHA_1, id="inside SoftHSM"),
        pytest.param(WrappingAlgorithm.RSAES_OAEP_SHA_256, id="in a process of its own"),
    ]
)
def external(kms: Any, request: pytest.FixtureRequest) -> Import:
    return Import(kms, request.param)


def test_a_key_to_be_imported_has_nothing_yet(kms: Any, external: Import) -> None:
    metadata = metadata_of(kms, external.key)
    assert (metadata["Origin"], metadata["KeyState"], metadata["Enabled"]) == (
        "EXTERNAL",
        "PendingImport",
        False,
    )
    assert not {"CurrentKeyMaterialId", "ExpirationModel", "ValidTo"} & metadata.keys()
    assert all_versions(kms, external.key) == []
    lifetime = external.valid_to - datetime.now(UTC)
    assert timedelta(hours=23, minutes=55) < lifetime <= timedelta(hours=24)
    # Nothing to delete is no error, and tells no material.
    assert "KeyMaterialId" not in kms.delete_imported_key_material(KeyId=external.key)


def test_imported_material_serves_at_once_in_both_workers(
    server: DevServer, kms: Any, external: Import
) -> None:
    valid_to = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    material_id = external.take(os.urandom(32), ValidTo=valid_to, KeyMaterialDescription="from the safe")
    assert material_ids(server, external.key) == {material_id}
    metadata = metadata_of(kms, external.key)
    assert (metadata["KeyState"], metadata["CurrentKeyMaterialId"]) == ("Enabled", material_id)
    assert (metadata["ExpirationModel"], metadata["ValidTo"]) == ("KEY_MATERIAL_EXPIRES", valid_to)
    blob = kms.encrypt(KeyId=external.key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    assert opened(server, blob) == {(PLAINTEXT, material_id)}
    assert all_versions(kms, external.key) == [
        {
            "KeyId": external.key,
            "KeyMaterialId": material_id,
            "KeyMaterialDescription": "from the safe",
            "ImportState": "IMPORTED",
            "KeyMaterialState": "CURRENT",
            "ExpirationModel": "KEY_MATERIAL_EXPIRES",
            "ValidTo": valid_to,
        }
    ]


def test_deleted_material_comes_back_the_same_or_not_at_all(
    server: DevServer, kms: Any, external: Import
) -> None:
    material = os.urandom(32)
    material_id = external.take(material)
    blob = kms.encrypt(KeyId=external.key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    assert kms.delete_imported_key_material(KeyId=external.key)["KeyMaterialId"] == material_id
    pending = ("KMSInvalidStateException", f"{external.arn} is pending import.")
    assert refused_everywhere(server, "decrypt", CiphertextBlob=blob) == pending
    assert refused_everywhere(server, "encrypt", KeyId=external.key, Plaintext=b"x") == pending
    assert external.refuse(os.urandom(32)).code == "IncorrectKeyMaterialException"
    assert external.refuse(material, ImportType="NEW_KEY_MATERIAL").code == "IncorrectKeyMaterialException"
    assert external.state == "PendingImport"
    assert external.take(material) == material_id
    assert opened(server, blob) == {(PLAINTEXT, material_id)}
    assert material_ids(server, external.key) == {material_id}
    # Material that is there may come once more, with another date.
    valid_to = (datetime.now(UTC) + timedelta(days=5)).replace(microsecond=0)
    assert external.take(material, ValidTo=valid_to) == material_id
    assert metadata_of(kms, external.key)["ValidTo"] == valid_to


def test_new_material_waits_for_its_rotation(server: DevServer, kms: Any, external: Import) -> None:
    materials = [os.urandom(32), os.urandom(32)]
    first = external.take(materials[0])
    old_blob = kms.encrypt(KeyId=external.key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    told = refusal(kms.rotate_key_on_demand, KeyId=external.key)
    assert (told.code, "pending rotation" in told.message) == ("KMSInvalidStateException", True)
    second = external.take(materials[1], ImportType="NEW_KEY_MATERIAL")
    assert material_ids(server, external.key) == {first}
    assert external.refuse(os.urandom(32), ImportType="NEW_KEY_MATERIAL").code == "KMSInvalidStateException"

    def shown() -> list[tuple[str, str, str, str | None]]:
        return [
            (
                entry["KeyMaterialId"],
                entry["KeyMaterialState"],
                entry["ImportState"],
                entry.get("RotationType"),
            )
            for entry in all_versions(kms, external.key)
        ]

    assert shown() == [
        (first, "CURRENT", "IMPORTED", None),
        (second, "PENDING_ROTATION", "IMPORTED", None),
    ]
    kms.rotate_key_on_demand(KeyId=external.key)
    assert material_ids(server, external.key) == {second}
    assert opened(server, old_blob) == {(PLAINTEXT, first)}
    # One version without its material takes the whole key out of use.
    kms.delete_imported_key_material(KeyId=external.key, KeyMaterialId=first)
    assert refused_everywhere(server, "encrypt", KeyId=external.key, Plaintext=b"x")[0] == (
        "KMSInvalidStateException"
    )
    assert shown() == [
        (first, "NON_CURRENT", "PENDING_IMPORT", None),
        (second, "CURRENT", "IMPORTED", "ON_DEMAND"),
    ]
    told = external.refuse(materials[0], KeyMaterialId=second)
    assert told.code == "IncorrectKeyMaterialException"
    assert external.take(materials[0], KeyMaterialId=first) == first
    assert opened(server, old_blob) == {(PLAINTEXT, first)}
    assert material_ids(server, external.key) == {second}


def test_what_is_not_let_in(kms: Any, external: Import) -> None:
    material = os.urandom(32)
    right = external.members(material)
    wrapped = right["EncryptedKeyMaterial"]
    # Whatever is wrong with what was wrapped looks the same.
    for broken in (
        os.urandom(256),
        wrapped[:-1],
        wrapped + b"\0",
        bytes([wrapped[0] ^ 1]) + wrapped[1:],
        external.members(material[:31])["EncryptedKeyMaterial"],
        external.members(material + b"\0")["EncryptedKeyMaterial"],
        external.members(material[:16])["EncryptedKeyMaterial"],
    ):
        told = refusal(kms.import_key_material, **{**right, "EncryptedKeyMaterial": broken})
        assert (told.status, told.code, told.message) == (400, "InvalidCiphertextException", "")
    now = datetime.now(UTC)
    for valid_to in (now - timedelta(seconds=5), now + timedelta(days=366)):
        assert external.refuse(material, ValidTo=valid_to).code == "ValidationException"
    other = Import(kms, WrappingAlgorithm.RSAES_OAEP_SHA_1)
    for token in (
        other.import_token,
        external.import_token[:-1],
        external.import_token[:-1] + bytes([external.import_token[-1] ^ 1]),
    ):
        told = refusal(kms.import_key_material, **{**right, "ImportToken": token})
        assert told.code == "InvalidImportTokenException"
    told = external.refuse(material, ImportType="EXISTING_KEY_MATERIAL")
    assert told.code == "IncorrectKeyMaterialException"
    told = external.refuse(material, ImportType="NEW_KEY_MATERIAL", KeyMaterialId="0" * 64)
    assert told.code == "ValidationException"
    # None of this used anything up.
    assert external.state == "PendingImport"
    assert all_versions(kms, external.key) == []
    kms.import_key_material(**right)
    assert external.state == "Enabled"


def test_material_goes_on_its_date_and_may_come_back(server: DevServer, kms: Any) -> None:
    external = Import(kms, WrappingAlgorithm.RSAES_OAEP_SHA_1)
    material = os.urandom(32)
    material_id = external.take(material, ValidTo=datetime.now(UTC) + timedelta(seconds=3))
    blob = kms.encrypt(KeyId=external.key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    wait_until(lambda: external.state == "PendingImport", "the material has expired", seconds=40)
    assert refused_everywhere(server, "decrypt", CiphertextBlob=blob)[0] == "KMSInvalidStateException"
    gone = [r for r in records_of(server, external.arn) if r["eventName"] == "DeleteExpiredKeyMaterial"]
    assert [record["serviceEventDetails"]["keyMaterialId"] for record in gone] == [material_id]
    assert external.take(material) == material_id
    assert opened(server, blob) == {(PLAINTEXT, material_id)}


# --- the command line ------------------------------------------------------------------------------------


def test_rotation_and_deletion_by_the_command_line(server: DevServer, kms: Any, tmp_path: Path) -> None:
    key = new_key(kms)
    told = run_script(
        server,
        tmp_path,
        f"""
        export AWS_DEFAULT_OUTPUT=text
        aws kms enable-key-rotation --key-id {key} --rotation-period-in-days 180
        aws kms get-key-rotation-status --key-id {key} --query '[KeyRotationEnabled,RotationPeriodInDays]'
        aws kms rotate-key-on-demand --key-id {key}
        aws kms list-key-rotations --key-id {key} --query 'Rotations[].[KeyMaterialState,RotationType]'
        aws kms schedule-key-deletion --key-id {key} --pending-window-in-days 7 \\
            --query '[KeyState,PendingWindowInDays]'
        aws kms cancel-key-deletion --key-id {key}
        """,
    )
    arn = metadata_of(kms, key)["Arn"]
    assert told == ["True\t180", key, "CURRENT\tON_DEMAND", "PendingDeletion\t7", arn]
    assert metadata_of(kms, key)["KeyState"] == "Disabled"


def test_an_import_by_the_command_line(server: DevServer, kms: Any, tmp_path: Path) -> None:
    """Step by step as AWS's documentation has it (Developer Guide, "Importing key material")."""
    key = new_key(kms, Origin="EXTERNAL")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    told = run_script(
        server,
        tmp_path,
        f"""
        aws kms get-parameters-for-import --key-id {key} --wrapping-algorithm RSAES_OAEP_SHA_256 \\
            --wrapping-key-spec RSA_2048 --query '[PublicKey,ImportToken]' --output text >parameters
        cut -f 1 parameters | openssl enc -d -base64 -A -out WrappingPublicKey.bin
        cut -f 2 parameters | openssl enc -d -base64 -A -out ImportToken.bin
        openssl rand -out PlaintextKeyMaterial.bin 32
        openssl pkeyutl -encrypt -in PlaintextKeyMaterial.bin -out EncryptedKeyMaterial.bin \\
            -inkey WrappingPublicKey.bin -keyform DER -pubin -pkeyopt rsa_padding_mode:oaep \\
            -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256
        aws kms import-key-material --key-id {key} --import-token fileb://ImportToken.bin \\
            --encrypted-key-material fileb://EncryptedKeyMaterial.bin \\
            --expiration-model KEY_MATERIAL_EXPIRES --valid-to {tomorrow:%Y-%m-%dT%H:%M:%SZ} \\
            --query KeyMaterialId --output text
        """,
    )
    metadata = metadata_of(kms, key)
    assert told == [metadata["CurrentKeyMaterialId"]]
    assert (metadata["KeyState"], metadata["ValidTo"]) == ("Enabled", tomorrow)
    assert material_ids(server, key) == set(told)


# --- the end of a version's budget -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def short_lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A server whose versions encrypt but a few times."""
    data = tmp_path_factory.mktemp("short") / "data"
    lay_out(data, ())
    with (data / "hsmkms.toml").open("a") as config:
        config.write(f"\n[lifecycle]\nencryption_limit = {LIMIT}\n")
    with DevServer(data, workers=2) as server:
        yield server


def test_a_key_that_encrypts_often_rotates_by_itself(short_lived: DevServer) -> None:
    kms = client(short_lived)
    metadata = kms.create_key()["KeyMetadata"]
    key = metadata["KeyId"]
    # As boto3 comes: whoever meets a rotation by another worker is told to ask again, and does.
    clients = [short_lived.client() for _ in range(6)]

    def generate(own: Any) -> list[dict[str, Any]]:
        return [own.generate_data_key(KeyId=key, KeySpec="AES_256") for _ in range(50)]

    with ThreadPoolExecutor(len(clients)) as pool:
        sealed = [answer for answers in pool.map(generate, clients) for answer in answers]
    assert len(sealed) == 300
    for answer in sealed:
        found = kms.decrypt(CiphertextBlob=answer["CiphertextBlob"])
        assert (found["Plaintext"], found["KeyMaterialId"]) == (answer["Plaintext"], answer["KeyMaterialId"])
    used = Counter(answer["KeyMaterialId"] for answer in sealed)
    # A version's check value is an encryption too.
    assert max(used.values()) < LIMIT
    first, *rotated = all_versions(kms, key)
    assert len(rotated) >= 4
    assert used.keys() <= {entry["KeyMaterialId"] for entry in (first, *rotated)}
    assert {entry["RotationType"] for entry in rotated} == {"AUTOMATIC"}
    events = [r for r in records_of(short_lived, metadata["Arn"]) if r["eventName"] == "RotateKey"]
    made = Counter(record["serviceEventDetails"]["keyMaterialId"] for record in events)
    assert made == Counter(entry["KeyMaterialId"] for entry in rotated)
    assert {record["serviceEventDetails"]["reason"] for record in events} == {"encryption limit"}
    # A rotation that nobody asked for is none of those that one may ask for.
    kms.rotate_key_on_demand(KeyId=key)
    assert all_versions(kms, key)[-1]["RotationType"] == "ON_DEMAND"


def test_imported_material_that_is_used_up_only_decrypts(short_lived: DevServer) -> None:
    kms = client(short_lived)
    external = Import(kms, WrappingAlgorithm.RSAES_OAEP_SHA_1)
    material_id = external.take(os.urandom(32))

    def until_refused(own: Any) -> Iterator[bytes]:
        for _ in range(LIMIT):
            try:
                yield own.encrypt(KeyId=external.key, Plaintext=PLAINTEXT)["CiphertextBlob"]
            except own.exceptions.LimitExceededException:
                return

    # One worker may still have set some aside when the other has none any more.
    blobs = [
        blob for given in everywhere(short_lived, lambda own: list(until_refused(own))) for blob in given
    ]
    assert LIMIT // 2 < len(blobs) < LIMIT
    code, message = refused_everywhere(short_lived, "encrypt", KeyId=external.key, Plaintext=b"x")
    assert (code, external.arn in message) == ("LimitExceededException", True)
    for blob in (blobs[0], blobs[-1]):
        assert opened(short_lived, blob) == {(PLAINTEXT, material_id)}
    # Other material encrypts again.
    external.take(os.urandom(32), ImportType="NEW_KEY_MATERIAL")
    kms.rotate_key_on_demand(KeyId=external.key)
    assert kms.encrypt(KeyId=external.key, Plaintext=PLAINTEXT)["KeyId"] == external.arn
