"""What other processes do to a store. They are spawned, as workers are; each function runs in one."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from hsmkms.errors import AlreadyExistsError, EncryptionLimitError, NotFoundError
from hsmkms.model.actions import Action
from hsmkms.model.identities import Status
from hsmkms.model.keys import Key, KeyState, KeyVersion
from hsmkms.model.names import KeyId, MaterialId
from hsmkms.ports.store import Reservation
from hsmkms.store import (
    SqliteClockworkStore,
    SqliteDirectory,
    SqliteInvocationStore,
    SqliteKeyStore,
    StoreSettings,
    migrate,
)
from tests.contract.store.nouns import (
    GRANTEE,
    NOW,
    REGION,
    alias_of,
    grant_of,
    pending_key,
    policy_of,
    version_of,
)

SPAWN = multiprocessing.get_context("spawn")


@contextmanager
def process(act: Callable[..., None], *arguments: Any) -> Iterator[tuple[Connection, BaseProcess]]:
    """A process that runs ``act(pipe, *arguments)``; gone, one way or the other, at the end."""
    ours, theirs = SPAWN.Pipe()
    child = SPAWN.Process(target=act, args=(theirs, *arguments))
    child.start()
    theirs.close()
    try:
        yield ours, child
        child.join(60)
    finally:
        child.kill()
        child.join()
        child.close()
        ours.close()


def follow(pipe: Connection, settings: StoreSettings, key_id: KeyId, access_key_id: str) -> None:
    """Say what the snapshots say, as often as asked, until told to stop."""
    store, directory = SqliteKeyStore(settings, REGION), SqliteDirectory(settings)
    store.snapshot()
    directory.snapshot()
    pipe.send("ready")
    while pipe.recv() == "ask":
        state = store.snapshot().keys[key_id].state
        status = directory.snapshot().access_keys[access_key_id].status
        pipe.send((state, status))


def disable_and_enable(pipe: Connection, settings: StoreSettings, key_id: KeyId, access_key_id: str) -> None:
    """Change a key and an access key, as often as asked, until told to stop."""
    store, directory = SqliteKeyStore(settings, REGION), SqliteDirectory(settings)
    pipe.send("ready")
    while (order := pipe.recv()) != "stop":
        state, status = order
        with store.change() as change:
            change.set_state(key_id, KeyState(state))
        directory.set_access_key_status(access_key_id, Status(status))
        pipe.send("answered")


def follow_key(pipe: Connection, settings: StoreSettings, key_id: KeyId) -> None:
    """Say whom a key's policy means, its tags, its aliases and its grants, as often as asked."""
    store = SqliteKeyStore(settings, REGION)
    store.snapshot()
    pipe.send("ready")
    while pipe.recv() == "ask":
        snapshot = store.snapshot()
        key = snapshot.keys[key_id]
        found = snapshot.grants.candidates(key_id, [GRANTEE.unique_id], Action.DECRYPT, {})
        pipe.send(
            (
                dict(snapshot.policies[key_id].ids),
                dict(key.tags),
                set(key.aliases),
                {grant.grant_id for grant in found},
            )
        )


def count_up(pipe: Connection, settings: StoreSettings, key_id: KeyId, times: int) -> None:
    """Two threads, each adding one to the number in a description, an alias and a grant, ``times`` times."""
    store = SqliteKeyStore(settings, REGION)
    faults: list[str] = []

    def add_one(name: str) -> None:
        try:
            for number in range(times):
                with store.change() as change:
                    key = change.key(key_id)
                    assert key is not None
                    change.set_description(key_id, str(int(key.description) + 1))
                    change.add_alias(alias_of(key, f"{name}/{number}"))
                    change.add_grant(grant_of(key_id, int(key.description)))
                if number % 10 == 0:
                    store.snapshot()
        except BaseException as fault:  # noqa: BLE001 - told to the process that asked
            faults.append(repr(fault))

    me = SPAWN.current_process().name
    threads = [threading.Thread(target=add_one, args=(f"{me}/{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(faults)


def reserve_all(pipe: Connection, settings: StoreSettings, material_id: MaterialId, limit: int) -> None:
    """Blocks of 7 until there are no more."""
    store = SqliteInvocationStore(settings, REGION)
    pipe.send("ready")
    pipe.recv()
    reserved: list[Reservation] = []
    try:
        while True:
            reserved.append(store.reserve(material_id, 7, limit))
    except EncryptionLimitError:
        pipe.send(reserved)


def change_without_end(pipe: Connection, settings: StoreSettings, key_id: KeyId) -> None:
    """Stay in the middle of a change larger than SQLite's cache; somebody has to kill this process."""
    store = SqliteKeyStore(settings, REGION)
    with store.change() as change:
        change.set_state(key_id, KeyState.DISABLED)
        for _ in range(100):
            key, version = pending_key()
            change.add_pending_key(key, version, [], policy_of())
            change.set_description(key.key_id, "x" * 65536)
        pipe.send("in the middle")
        pipe.recv()


def reserve_and_tell(pipe: Connection, settings: StoreSettings, material_id: MaterialId) -> None:
    """Reserve and tell, without end; somebody has to kill this process."""
    store = SqliteInvocationStore(settings, REGION)
    while True:
        pipe.send(store.reserve(material_id, 1, 2**32).total)


def rotate(pipe: Connection, settings: StoreSettings, key_id: KeyId, times: int) -> None:
    """Make versions and let each take over; tell which, in order."""
    store = SqliteKeyStore(settings, REGION)
    pipe.send("ready")
    pipe.recv()
    mine: list[MaterialId] = []
    while len(mine) < times:
        key = store.snapshot().keys[key_id]
        with store.change() as change:
            found = change.key(key_id)
            assert found is not None
            if found.current_material_id != key.current_material_id:
                continue  # the other process was faster
            version = version_of(found)
            change.add_version(version)
            change.put_key(replace(found, current_material_id=version.material_id))
        mine.append(version.material_id)
    pipe.send(mine)


def add_and_enable(pipe: Connection, settings: StoreSettings, keys: Sequence[tuple[Key, KeyVersion]]) -> None:
    """Add keys that another process adds too, and enable those; tell which were this one's."""
    store = SqliteKeyStore(settings, REGION)
    pipe.send("ready")
    pipe.recv()
    mine: list[KeyId] = []
    for key, version in keys:
        with suppress(AlreadyExistsError), store.change() as change:
            change.add_pending_key(key, version, [], policy_of())
            mine.append(key.key_id)
        with suppress(NotFoundError), store.change() as change:
            change.enable_pending_key(key.key_id, version.material_id, b"check")
    pipe.send(mine)


def take_lease(pipe: Connection, settings: StoreSettings, holder: bytes) -> None:
    """Ask for the lease on command, and tell whether it was given."""
    store = SqliteClockworkStore(settings, REGION)
    pipe.send("ready")
    while pipe.recv() == "go":
        pipe.send(store.take_lease(holder, NOW, NOW + timedelta(seconds=30)))


def migrate_now(pipe: Connection, settings: StoreSettings) -> None:
    """Migrate on command."""
    pipe.send("ready")
    pipe.recv()
    migrate(settings, [REGION])
    pipe.send("done")
