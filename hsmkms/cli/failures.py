"""One place that turns what the rooms raise into a message and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from hsmkms.cli.output import ExitCode, fail
from hsmkms.config import ConfigError
from hsmkms.errors import KeyUnavailableError, KmsError, ServiceFaultError
from hsmkms.server.supervisor import StartError
from hsmkms.store import StoreVersionError
from hsmkms.wiring.preparation import PreparationError, SettingsConflictError, TokenPreparationError


@contextmanager
def reported_failures() -> Iterator[None]:
    """Let nothing expected end in a traceback."""
    try:
        yield
    except ConfigError as error:
        fail(str(error), ExitCode.CONFIG)
    except (TokenPreparationError, KeyUnavailableError) as error:
        fail(str(error), ExitCode.TOKEN)
    except SettingsConflictError as error:
        fail(str(error), ExitCode.CONFIG)
    except (PreparationError, StartError, StoreVersionError, ServiceFaultError) as error:
        fail(str(error), ExitCode.FAILED)
    except KmsError as error:
        fail(str(error), ExitCode.REFUSED)
    except BrokenProcessPool:
        fail(
            "the process that made the token calls died: the PKCS#11 module probably crashed it",
            ExitCode.TOKEN,
        )
