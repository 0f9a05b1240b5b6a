"""``hsmkms`` and ``python -m hsmkms``."""

from __future__ import annotations

from hsmkms.cli.main import main

if __name__ == "__main__":
    main()
