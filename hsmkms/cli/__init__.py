"""The operators' commands: text on standard output, errors on standard error, ``--json`` for programs."""
