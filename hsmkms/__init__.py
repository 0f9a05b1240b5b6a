"""hsmkms: a key management service with the AWS KMS API whose master keys never leave a PKCS#11 token.

The floors, from the top; imports only go down (see ``[tool.importlinter]`` in pyproject.toml):
``cli`` and ``testing``, ``server``, ``wiring``, ``config``, ``frontends``, the rooms (``service``, ``hsm``,
``store``, ``trail``, ``telemetry``), ``ports``, the pure floors (``policy``, ``authn``, ``formats``),
``model`` and ``errors``.
"""
