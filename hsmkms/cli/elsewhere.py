"""Runs a function that makes token calls in a new process, so that this one never loads a module."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from hsmkms.server.logs import configure_logs

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def run_elsewhere(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """What the function returns or raises.

    Raises:
        BrokenProcessPool: the process died.
    """
    context = multiprocessing.get_context("spawn")
    initializer = partial(configure_logs, logging.WARNING)
    with ProcessPoolExecutor(1, mp_context=context, initializer=initializer) as executor:
        return executor.submit(function, *args, **kwargs).result()
