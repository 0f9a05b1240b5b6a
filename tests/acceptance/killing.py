"""Processes that live one after the other and end by SIGKILL: ``python -m tests.acceptance.killing``.

A nursery has imported everything and loaded no PKCS#11 module. For each line of JSON on its standard input it
forks one life, which builds the real service on a real token as ``serve`` does, looks at what the life before
it left, begins a verb, and is killed at the chosen write. Both say what happened in lines of JSON.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hsmkms.config import load_settings
from hsmkms.model.names import KeyId
from hsmkms.server.logs import configure_logs
from tests.acceptance.killed_verbs import VERBS
from tests.acceptance.lives import Ciphertext, ShiftedClock, World, open_world
from tests.acceptance.mortality import Writes, announce, die

_TURNS_AFTER: Final = 20


def live(job: Mapping[str, Any]) -> None:
    """One life; it does not end well.

    Args:
        job: ``config``, ``softhsm``, ``own_objects``, ``offset``, ``ciphertexts``: the world so far;
            ``left``: what the life before did; ``verb``, ``facts``, ``point``: what to begin, where to die;
            ``serve_until``: a file that ends the life of the one that is not killed.
    """
    clock = ShiftedClock(job["offset"])
    writes = Writes(job.get("point"))
    world = open_world(load_settings(Path(job["config"])), Path(job["softhsm"]), clock, writes)
    world.ciphertexts += [
        Ciphertext(KeyId(key_id), bytes.fromhex(blob)) for key_id, blob in job["ciphertexts"]
    ]
    if job["own_objects"] is None:
        for _ in range(3):
            world.seal(world.new_key())
        announce(own_objects=world.own_objects())
        return
    world.foreseen_objects = job["own_objects"]
    if "left" in job:
        look_back(world, job["left"])
    if "serve_until" in job:
        serve(world, job["verb"], Path(job["serve_until"]))
    elif "verb" in job:
        verb = VERBS[job["verb"]]
        facts = job["facts"] if "facts" in job else verb.prepare(world)
        announce(facts=facts)
        writes.is_counting = True
        verb.act(world, facts)
        writes.is_counting = False
        announce(survived=writes.names)
        # Nothing is given back and nothing closed: what was answered has to stand by itself.
        die()
    else:
        require_all_well(world)
        known = world.hsm.epoch()
        announce(epoch=known and known.number)


def look_back(world: World, left: Mapping[str, Any]) -> None:
    """Right after a kill everything that was answered is there; after a while nothing is half there."""
    verb, facts = VERBS[left["verb"]], left["facts"]
    assert world.problems() == []
    world.require_promises(but_of=facts.get("key_id") if verb.hides else None)
    world.settle()
    verb.look(world, facts, left["done"])
    require_all_well(world)


def require_all_well(world: World) -> None:
    """Nothing is half there, everything that was answered is opened, and doctor finds nothing."""
    world.require_whole()
    world.require_promises()
    assert world.problems() == []


def serve(world: World, verb_name: str, until: Path) -> None:
    """Be the worker that is not killed: serve while the other dies, and clear away after it alone."""
    verb = VERBS[verb_name]
    own = world.seal(world.new_key())
    facts = verb.prepare(world)
    announce(facts=facts)
    serving = [own.key_id]
    if "key_id" in facts and not verb.hides:
        serving.append(KeyId(facts["key_id"]))
    turns = turns_after = 0
    while turns_after < _TURNS_AFTER:
        turns_after += until.exists()
        turns += 1
        for key_id in serving:
            world.open(world.encrypt(key_id))
        world.require_promises(but_of=KeyId(facts["key_id"]) if verb.hides else None)
    world.settle()
    verb.look(world, facts, ())
    require_all_well(world)
    announce(turns=turns)


def main() -> None:
    """The nursery."""
    configure_logs()
    # As a worker does it: what is here now stays, and a life is short.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live_and_end(job)
        _, status = os.waitpid(pid, 0)
        announce(ended=os.waitstatus_to_exitcode(status))


def _live_and_end(job: Mapping[str, Any]) -> None:
    try:
        live(job)
    except Exception:  # noqa: BLE001 - the parent shows it, and fails
        announce(failed=traceback.format_exc())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
