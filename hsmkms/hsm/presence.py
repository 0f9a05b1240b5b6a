"""Does a fresh process reach the token? Run as ``python -m hsmkms.hsm.presence``, never in the server itself.

A module keeps the picture of its slots that it made when it was initialised (and SoftHSM that of its
directory), and a serving process never finalises it. So only another process can tell a token that is away
from one that is back and needs a new worker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from hsmkms.hsm.module import Module, ModuleLoadError
from hsmkms.hsm.return_codes import CkrError
from hsmkms.hsm.sessions import open_session
from hsmkms.hsm.settings import TokenSettings

_TIMEOUT_SECONDS: Final = 30.0
_PRESENT: Final = 0
_ABSENT: Final = 3


def fresh_process_reaches_token(settings: TokenSettings) -> bool:
    """True when a new process finds exactly one token of that name and opens a session; logs in nowhere."""
    question = json.dumps(
        {
            "module_path": str(settings.module_path),
            "label": settings.token_label,
            "serial": settings.token_serial,
        }
    )
    try:
        answer = subprocess.run(
            [sys.executable, "-P", "-m", "hsmkms.hsm.presence"],
            input=question.encode(),
            env={**os.environ, **settings.environment},
            capture_output=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == _PRESENT


def main() -> int:
    """Answer the question on standard input by the exit code."""
    question = json.loads(sys.stdin.read())
    try:
        module = Module(Path(question["module_path"]))
        tokens = module.tokens(question["label"], question["serial"])
        if len(tokens) != 1:
            return _ABSENT
        open_session(module, tokens[0]).close()
    except (CkrError, ModuleLoadError):
        return _ABSENT
    return _PRESENT


if __name__ == "__main__":
    # No interpreter shutdown: destructors of PKCS#11 modules crash in it (SoftHSM issues 635 and 780).
    os._exit(main())
