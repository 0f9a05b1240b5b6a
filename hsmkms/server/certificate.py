"""The TLS certificate and its key, tried before any worker, where there is somebody to tell."""

from __future__ import annotations

import ssl
import stat
from datetime import datetime
from pathlib import Path

import structlog
from cryptography import x509

from hsmkms.config import ConfigError, ServerSettings

_log = structlog.get_logger(__name__)


def require_certificate(server: ServerSettings, now: datetime) -> None:
    """Make sure that TLS can be served; a certificate that is out of date is said to be, and served.

    Raises:
        ConfigError: one of the files cannot be read or used, they do not belong together, or everybody may
            read the key.
    """
    certificate, key = server.tls_certificate, server.tls_key
    if certificate is None or key is None:
        return
    _warn_if_out_of_date(certificate, now)
    try:
        # A group of those that serve TLS is common; everybody is not.
        if stat.S_IMODE(key.stat().st_mode) & 0o007:
            raise ConfigError(f"everybody may read {key}; do: chmod o= {key}")
        key.read_bytes()
        # Without a password of our own OpenSSL would ask the terminal for it.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise ConfigError(
            f"{key} cannot be used with {certificate}: it has to be the key of that certificate, in PEM and "
            f"without a password ({error.reason or error})"
        ) from error
    except OSError as error:
        raise ConfigError(f"{error.filename or key}: {error.strerror}") from error


def _warn_if_out_of_date(path: Path, now: datetime) -> None:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} cannot be used: it holds no certificate in PEM ({error})") from error
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begins <= now <= ends:
        _log.warning(
            "tls_certificate_out_of_date",
            path=str(path),
            not_before=begins.isoformat(),
            not_after=ends.isoformat(),
        )
