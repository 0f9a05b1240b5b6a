"""What users' own test suites load: a throw-away SoftHSM token and a running server, as pytest fixtures.

Install ``hsmkms[testing]``; pytest finds ``plugin`` by itself. For more than the fixtures give there are
``server.DevServer`` and ``token.make_softhsm_token``.
"""
