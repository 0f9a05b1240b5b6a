"""The verbs during which processes are killed: what comes before, the verb, and how it must look afterwards.

Each runs on a key of its own. ``look`` comes in the next life, a day later and after some rounds of the
clockwork, and does the verb once more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hsmkms.model.imports import ImportType, WrappingAlgorithm
from hsmkms.model.keys import KeyOrigin, KeyState, KeyVersion, RotationType, VersionState
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.policy.defaults import default_key_policy
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.stored import StoredPolicy
from hsmkms.service.clockwork import UNFINISHED_LIFETIME
from hsmkms.service.key_making import KeyPlan
from tests.acceptance.lives import ACCOUNT, DAY, Facts, World
from tests.acceptance.mortality import announce

IN_TOKEN: Final = WrappingAlgorithm.RSAES_OAEP_SHA_1
IN_SOFTWARE: Final = WrappingAlgorithm.RSAES_OAEP_SHA_256  # SoftHSM 2.6.1 unwraps with SHA-1 alone
ONE: Final = "11" * 32
TWO: Final = "22" * 32
THREE: Final = "33" * 32


@dataclass(frozen=True)
class Verb:
    """One verb under test.

    Attributes:
        prepare: what comes before; what the next life has to know.
        act: the verb itself, which announces by ``done`` what was answered.
        look: makes sure that the verb is done or undone as a whole, done if it was answered; does it again.
        writes: have to be among its writes, or this is not the verb that it should be.
        done: how much is answered when nobody kills it.
        hides: whether the key's material may be away until ``look`` has brought it back.
    """

    prepare: Callable[[World], Facts]
    act: Callable[[World, Facts], None]
    look: Callable[[World, Facts, Sequence[str]], None]
    writes: Sequence[str]
    done: int = 0
    hides: bool = False


def _done(what: str) -> None:
    announce(done=what)


def _key_id(facts: Facts) -> KeyId:
    return KeyId(facts["key_id"])


def _round(world: World, _facts: Facts) -> None:
    world.round()


# --- create -----------------------------------------------------------------------------------------------


def _nothing(_world: World) -> Facts:
    return {}


def _create(world: World, _facts: Facts) -> None:
    key_id = world.new_key()
    _done(key_id)


def _look_at_created(world: World, _facts: Facts, done: Sequence[str]) -> None:
    # Every other key has a ciphertext by now.
    strangers = world.meet_new_keys()
    assert list(done) == strangers if done else len(strangers) <= 1
    world.open(world.seal(world.new_key()))


def _create_with_alias(world: World, facts: Facts) -> None:
    policy = StoredPolicy(PolicyKind.KEY, default_key_policy(ACCOUNT))
    key = world.kms.maker.make(KeyPlan(ACCOUNT, policy, alias_name=facts["alias"]))
    _done(key.key_id)


def _name_of_alias(world: World) -> Facts:
    return {"alias": f"alias/{len(world.keys.snapshot().keys)}-{world.clock.now():%Y%m%d%H%M%S}"}


def _look_at_aliased(world: World, facts: Facts, done: Sequence[str]) -> None:
    key_id = world.keys.snapshot().aliases.get((ACCOUNT, facts["alias"]))
    # The one does not come without the other.
    assert world.keys_not_met() == ([] if key_id is None else [key_id])
    if key_id is not None:
        assert world.key(key_id).aliases == {facts["alias"]}
    _look_at_created(world, facts, done)


# --- rotate -----------------------------------------------------------------------------------------------


def _sealed_key(world: World) -> Facts:
    key_id = world.new_key()
    world.seal(key_id)
    return {"key_id": key_id}


def _rotate(world: World, facts: Facts) -> None:
    world.rotate(_key_id(facts))
    _done("rotated")


def _look_at_rotated(world: World, facts: Facts, done: Sequence[str]) -> None:
    key_id = _key_id(facts)
    assert len(world.key(key_id).all_versions) in ((2,) if done else (1, 2))
    world.open(world.seal(key_id))
    world.rotate(key_id)
    world.open(world.seal(key_id))


def _key_that_is_due(world: World) -> Facts:
    facts = _sealed_key(world)
    key_id = _key_id(facts)
    world.ask("EnableKeyRotation", lambda call: world.kms.enable_key_rotation(call, key_id, 90))
    due = world.key(key_id).next_rotation_at
    assert due is not None
    world.wait_for(due)
    return facts


def _look_at_rotated_by_date(world: World, facts: Facts, done: Sequence[str]) -> None:
    key_id = _key_id(facts)
    world.ask("DisableKeyRotation", lambda call: world.kms.disable_key_rotation(call, key_id))
    # Whoever was killed, the rotation was due: it has come exactly once.
    types = [version.rotation_type for version in world.key(key_id).versions.values()]
    assert sorted(types, key=str) == [RotationType.AUTOMATIC, None]
    _look_at_rotated(world, facts, done)


# --- import -----------------------------------------------------------------------------------------------


def _external_key(world: World) -> Facts:
    return {"key_id": world.new_key(KeyOrigin.EXTERNAL)}


def _imported_key(world: World) -> Facts:
    facts = _external_key(world)
    world.bring(_key_id(facts), ONE, IN_TOKEN)
    world.seal(_key_id(facts))
    return facts


def _on_its_way(world: World, facts: Facts, material: str, algorithm: WrappingAlgorithm = IN_TOKEN) -> Facts:
    return {**facts, **world.wrapped(_key_id(facts), material, algorithm)}


def _import(world: World, facts: Facts, **more: object) -> None:
    token, wrapped = bytes.fromhex(facts["import_token"]), bytes.fromhex(facts["wrapped"])
    world.import_wrapped(_key_id(facts), token, wrapped, **more)
    _done("imported")


def _parameters(algorithm: WrappingAlgorithm) -> Callable[[World, Facts], None]:
    def act(world: World, facts: Facts) -> None:
        world.parameters(_key_id(facts), algorithm)
        _done("parameters")

    return act


def _look_at_first(world: World, facts: Facts, done: Sequence[str]) -> None:
    key_id = _key_id(facts)
    key = world.key(key_id)
    if key.state is KeyState.PENDING_IMPORT:
        assert (key.current_material_id, key.all_versions) == (None, {})
        assert "imported" not in done
        world.bring(key_id, ONE, IN_TOKEN)
    else:
        assert key.state is KeyState.ENABLED
        assert key.versions.keys() == key.all_versions.keys() == {key.current_material_id}
    world.open(world.seal(key_id))
    # The same again, which is known by its check value.
    world.bring(key_id, ONE, IN_TOKEN)
    assert len(world.key(key_id).all_versions) == 1


def _import_new_and_rotate(world: World, facts: Facts) -> None:
    _import(world, facts, import_type=ImportType.NEW_KEY_MATERIAL)
    _rotate(world, facts)


def _look_at_imported_and_rotated(world: World, facts: Facts, done: Sequence[str]) -> None:
    key_id = _key_id(facts)
    key = world.key(key_id)
    waiting = world.versions(key_id, VersionState.PENDING_ROTATION)
    assert key.state is KeyState.ENABLED
    if len(key.versions) == 1:
        assert "rotated" not in done
        if not waiting:
            assert "imported" not in done
            world.bring(key_id, TWO, IN_TOKEN, import_type=ImportType.NEW_KEY_MATERIAL)
        world.rotate(key_id)
    assert len(world.key(key_id).versions) == len(world.key(key_id).all_versions) == 2
    world.open(world.seal(key_id))
    world.bring(key_id, THREE, IN_TOKEN, import_type=ImportType.NEW_KEY_MATERIAL)
    world.rotate(key_id)
    world.open(world.seal(key_id))


def _key_without_its_material(world: World) -> Facts:
    facts = _imported_key(world)
    _delete(world, facts)
    return facts


def _look_at_imported_again(world: World, facts: Facts, done: Sequence[str]) -> None:
    key_id = _key_id(facts)
    if world.key(key_id).state is KeyState.PENDING_IMPORT:
        assert list(done) == []
        assert len(world.versions(key_id, VersionState.PENDING_IMPORT)) == 1
        world.bring(key_id, ONE, IN_TOKEN)
    key = world.key(key_id)
    assert (key.state, len(key.versions), len(key.all_versions)) == (KeyState.ENABLED, 1, 1)
    world.open(world.seal(key_id))


# --- delete imported material -----------------------------------------------------------------------------


def _delete(world: World, facts: Facts) -> None:
    key_id = _key_id(facts)
    (version,) = world.versions(key_id, VersionState.ENABLED)
    world.delete_material(key_id, version)


def _delete_and_say(world: World, facts: Facts) -> None:
    _delete(world, facts)
    _done("deleted")


def _look_at_deleted(world: World, facts: Facts, done: Sequence[str]) -> None:
    key_id = _key_id(facts)
    (sealed,) = [sealed for sealed in world.ciphertexts if sealed.key_id == key_id]
    if world.key(key_id).state is KeyState.ENABLED:
        assert list(done) == []
        world.open(sealed)
        _delete(world, facts)
    assert world.refuses(sealed)
    _look_at_imported_again(world, facts, ())


def _key_with_material_that_waits(world: World) -> Facts:
    facts = _imported_key(world)
    world.bring(_key_id(facts), TWO, IN_TOKEN, import_type=ImportType.NEW_KEY_MATERIAL)
    return facts


def _delete_what_waits(world: World, facts: Facts) -> None:
    (version,) = world.versions(_key_id(facts), VersionState.PENDING_ROTATION)
    world.delete_material(_key_id(facts), version)
    _done("deleted")


def _look_at_deleted_that_waited(world: World, facts: Facts, done: Sequence[str]) -> None:
    key_id = _key_id(facts)
    if world.versions(key_id, VersionState.PENDING_ROTATION):
        assert list(done) == []
        _delete_what_waits(world, facts)
    key = world.key(key_id)
    assert (key.state, len(key.all_versions)) == (KeyState.ENABLED, 1)
    # It never served, and other material may come in its place.
    world.bring(key_id, THREE, IN_TOKEN, import_type=ImportType.NEW_KEY_MATERIAL)
    world.rotate(key_id)
    world.open(world.seal(key_id))


# --- the clockwork ----------------------------------------------------------------------------------------


def _key_that_expires(world: World) -> Facts:
    facts = _external_key(world)
    due = world.clock.now() + DAY
    world.bring(_key_id(facts), ONE, IN_TOKEN, expires_at=due)
    world.seal(_key_id(facts))
    world.wait_for(due)
    return facts


def _look_at_expired(world: World, facts: Facts, _done: Sequence[str]) -> None:
    # Whoever was killed, it was due.
    assert world.key(_key_id(facts)).state is KeyState.PENDING_IMPORT
    _look_at_deleted(world, facts, ["deleted"])


def _key_that_goes(world: World) -> Facts:
    facts = _sealed_key(world)
    key_id = _key_id(facts)
    world.rotate(key_id)
    world.seal(key_id)
    alias = f"alias/{key_id}"
    world.ask("CreateAlias", lambda call: world.kms.create_alias(call, alias, key_id))
    scheduled = world.ask(
        "ScheduleKeyDeletion", lambda call: world.kms.schedule_key_deletion(call, key_id, 7)
    )
    world.wait_for(scheduled.deletion_at)
    return facts


def _look_at_gone(world: World, facts: Facts, _done: Sequence[str]) -> None:
    key_id = _key_id(facts)
    snapshot = world.keys.snapshot()
    assert key_id not in snapshot.keys
    assert (ACCOUNT, f"alias/{key_id}") not in snapshot.aliases
    (tombstone,) = [grave for grave in world.keys.tombstones() if grave.key_id == key_id]
    assert tombstone.destroyed_at is not None
    for sealed in [sealed for sealed in world.ciphertexts if sealed.key_id == key_id]:
        assert world.refuses(sealed)
        world.ciphertexts.remove(sealed)
    announce(gone=key_id)


def _key_with_a_pair_that_is_over(world: World) -> Facts:
    facts = _external_key(world)
    parameters = world.parameters(_key_id(facts), IN_TOKEN)
    world.wait_for(parameters.expires_at)
    return facts


# --- what a crash left, and a crash while it is cleared away ----------------------------------------------


def _two_that_were_never_finished(world: World) -> Facts:
    """A rotation and a creation that stopped once their objects were made."""
    facts = _sealed_key(world)
    key = world.key(_key_id(facts))
    now = world.clock.now()
    version = KeyVersion(key.key_id, MaterialId(world.hsm.random(16)), VersionState.PENDING, b"", now, now)
    with world.keys.change() as change:
        change.add_version(replace(version, rotation_type=RotationType.ON_DEMAND))
        policy = change.policy(key.key_id)
    other_id = KeyId(f"{key.key_id[:-12]}{world.hsm.random(6).hex()}")
    other = replace(version, key_id=other_id, material_id=MaterialId(world.hsm.random(16)))
    making = replace(
        key,
        key_id=other_id,
        state=KeyState.CREATING,
        current_material_id=None,
        versions={},
        aliases=frozenset(),
    )
    with world.keys.change() as change:
        change.add_pending_key(making, other, (), policy)
    for unfinished in (version, other):
        world.hsm.create_material(unfinished.key_id, unfinished.material_id)
    world.wait_for(now + UNFINISHED_LIFETIME)
    return facts


def _look_at_swept(world: World, facts: Facts, _done: Sequence[str]) -> None:
    assert len(world.key(_key_id(facts)).all_versions) == 1
    _look_at_rotated(world, facts, ())


_MAKING: Final = ("reserve", "advance_epoch", "create_material")
_TURN: Final = ("take_lease", "put_observed")
_IMPORTING: Final = ("add_version", "import_material", "reserve", "advance_epoch", "put_version+put_key")
_TAKING_AWAY: Final = ("put_version+put_key", "destroy_material", "put_version")


def _verbs() -> Mapping[str, Verb]:
    creating = ("add_pending_key", *_MAKING)
    rotating = ("add_version", *_MAKING, "put_version+put_key")
    asking = ("add_import_pair", "create_import_pair", "put_import_pair")
    return {
        "create": Verb(_nothing, _create, _look_at_created, writes=(*creating, "enable_pending_key"), done=1),
        "create with an alias": Verb(
            _name_of_alias,
            _create_with_alias,
            _look_at_aliased,
            writes=(*creating, "enable_pending_key+add_alias"),
            done=1,
        ),
        "rotate": Verb(_sealed_key, _rotate, _look_at_rotated, writes=rotating, done=1),
        "rotate by date": Verb(
            _key_that_is_due, _round, _look_at_rotated_by_date, writes=(*_TURN, *rotating)
        ),
        "parameters in the token": Verb(
            _external_key, _parameters(IN_TOKEN), _look_at_first, writes=asking, done=1
        ),
        "parameters in software": Verb(
            _external_key, _parameters(IN_SOFTWARE), _look_at_first, writes=asking, done=1
        ),
        "import in the token": Verb(
            lambda world: _on_its_way(world, _external_key(world), ONE),
            _import,
            _look_at_first,
            writes=_IMPORTING,
            done=1,
        ),
        "import in software": Verb(
            lambda world: _on_its_way(world, _external_key(world), ONE, IN_SOFTWARE),
            _import,
            _look_at_first,
            writes=_IMPORTING,
            done=1,
        ),
        "import new and rotate": Verb(
            lambda world: _on_its_way(world, _imported_key(world), TWO),
            _import_new_and_rotate,
            _look_at_imported_and_rotated,
            writes=(*_IMPORTING[:-1], "put_version", "put_version+put_key"),
            done=2,
        ),
        "import again": Verb(
            lambda world: _on_its_way(world, _key_without_its_material(world), ONE),
            _import,
            _look_at_imported_again,
            writes=("put_version", "import_material", "put_version+put_key"),
            done=1,
            hides=True,
        ),
        "delete material": Verb(
            _imported_key, _delete_and_say, _look_at_deleted, writes=_TAKING_AWAY, done=1, hides=True
        ),
        "delete material that waits": Verb(
            _key_with_material_that_waits,
            _delete_what_waits,
            _look_at_deleted_that_waited,
            writes=("put_version", "destroy_material", "remove_version+remove_pending_key"),
            done=1,
        ),
        "expire": Verb(
            _key_that_expires, _round, _look_at_expired, writes=(*_TURN, *_TAKING_AWAY), hides=True
        ),
        "delete": Verb(
            _key_that_goes,
            _round,
            _look_at_gone,
            writes=(
                *_TURN,
                "remove_key",
                "destroy_material",
                "note_destroyed",
                "destroy_material",
                "note_destroyed",
            ),
            hides=True,
        ),
        "end a pair": Verb(
            _key_with_a_pair_that_is_over,
            _round,
            _look_at_first,
            writes=(*_TURN, "destroy_import_pair", "remove_import_pair"),
        ),
        "sweep": Verb(
            _two_that_were_never_finished,
            _round,
            _look_at_swept,
            writes=(*_TURN, "put_version", "destroy_material", "remove_version+remove_pending_key"),
        ),
    }


VERBS: Final = _verbs()
"""By name."""
