"""``python -m bench.hostile``: what hostile connections cost those who sign beside them.

For each attack, in turns: the p99 of signed GenerateDataKey calls on one kept connection without and with it,
and the ratio of the two. The attacker runs in a process of its own, on the core that the worker does not
use. Attacks hold connections or repeat refused requests at a pace; a flood at line rate is not among them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from bench.processor import pinned_to, two_cores
from tests.server.attacks import ATTACKS, Attack
from tests.server.raw_http import Address, Peer, address_of, running, signed

_SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One attack's medians over the rounds."""

    attack: str
    usual_p99_us: float
    p99_us: float
    ratio: float
    failed: int


def main() -> int:
    """Print one line an attack; 1 when one more than doubles the usual p99, or makes a request fail."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of each measurement")
    parser.add_argument("--only", default="", metavar="TEXT", help="attacks whose name holds it")
    arguments = parser.parse_args()
    attacks = [attack for attack in ATTACKS if arguments.only in attack.name]
    findings = measure(attacks, arguments.rounds, arguments.seconds)
    print(f"{'attack':36} {'usual p99':>10} {'p99':>10} {'ratio':>6}")
    for finding in findings:
        verdict = "" if finding.ratio <= 2 and not finding.failed else "  <-- more than twice"
        print(
            f"{finding.attack:36} {finding.usual_p99_us:7.0f} us {finding.p99_us:7.0f} us "
            f"{finding.ratio:6.2f}{verdict}" + (f"  {finding.failed} failed" if finding.failed else "")
        )
    return int(any(finding.ratio > 2 or finding.failed for finding in findings))


def measure(attacks: list[Attack], rounds: int, seconds: float) -> list[Finding]:
    """Every attack against one server with one worker and its default deadlines."""
    server_core, generator_core = two_cores()
    with tempfile.TemporaryDirectory() as directory:
        with pinned_to(server_core):
            server = running(Path(directory) / "data").start()
        try:
            key_id = server.client().create_key()["KeyMetadata"]["KeyId"]

            def sign() -> bytes:
                # A signature is good for five minutes, less than all attacks take.
                return signed(server, "GenerateDataKey", {"KeyId": key_id, "KeySpec": "AES_256"})

            with pinned_to(generator_core):
                _p99_us(address_of(server), sign(), seconds)  # the first block, and warm caches
                return [_one(attack, address_of(server), sign(), rounds, seconds) for attack in attacks]
        finally:
            server.stop()


def _one(attack: Attack, address: Address, request: bytes, rounds: int, seconds: float) -> Finding:
    usual: list[float] = []
    attacked: list[float] = []
    failures = 0
    for _ in range(rounds):
        usual.append(_p99_us(address, request, seconds)[0])
        with _under(attack, address):
            p99_us, failed = _p99_us(address, request, seconds)
        attacked.append(p99_us)
        failures += failed
    ratios = [with_it / without for with_it, without in zip(attacked, usual, strict=True)]
    return Finding(attack.name, median(usual), median(attacked), median(ratios), failures)


def _p99_us(address: Address, request: bytes, seconds: float) -> tuple[float, int]:
    took_us: list[float] = []
    failed = 0
    deadline = time.monotonic() + seconds
    with Peer(address) as peer:
        while time.monotonic() < deadline:
            started = time.perf_counter()
            failed += peer.ask(request)[0] != 200
            took_us.append((time.perf_counter() - started) * 1e6)
    return quantiles(took_us, n=100)[98], failed


@contextmanager
def _under(attack: Attack, address: Address) -> Iterator[None]:
    attacker = multiprocessing.get_context("spawn").Process(
        target=_attack, args=(attack.name, address), daemon=True
    )
    attacker.start()
    try:
        time.sleep(_SETTLE_SECONDS)
        yield
    finally:
        attacker.terminate()
        attacker.join()
        time.sleep(0.5)


def _attack(name: str, address: Address) -> None:
    (attack,) = [attack for attack in ATTACKS if attack.name == name]
    attack.loop(address, threading.Event())


if __name__ == "__main__":
    sys.exit(main())
