"""Runs a function that makes token calls in a new process, so that this one never loads a module."""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Final, ParamSpec, TypeVar

from hsmkms.server.logs import configure_logs

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def run_elsewhere(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """What the function returns or raises. The process ends with this one, however this one ends.

    Raises:
        BrokenProcessPool: the process died.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(os.getpid(),)) as executor:
        # Ctrl-C goes to the whole group, and what becomes of it is this process's business. Ignoring it is
        # inherited.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            future = executor.submit(function, *args, **kwargs)
        finally:
            signal.signal(signal.SIGINT, before)
        try:
            return future.result()
        except KeyboardInterrupt:
            # It may hang in a token call, and leaving the pool would wait for it.
            for child in multiprocessing.active_children():
                child.kill()
            raise


def _begin(parent_pid: int) -> None:
    configure_logs(logging.WARNING)
    if sys.platform == "linux":
        # Else it would wait for work for ever, with the parent's standard output in its hands, and go on
        # preparing after the parent has let go of the directory's lock.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(1)
