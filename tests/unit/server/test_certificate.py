"""Certificate and key are tried where there is somebody to tell, and the message names the file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hsmkms.config import ConfigError, ServerSettings
from hsmkms.server.certificate import require_certificate
from tests.server.test_tls import make_certificate

NOW = datetime.now(UTC)


def settings(certificate: Path, key: Path) -> ServerSettings:
    return ServerSettings(tls_certificate=certificate, tls_key=key)


def test_a_good_pair_passes_in_silence(tmp_path: Path) -> None:
    with capture_logs() as logs:
        require_certificate(settings(*make_certificate(tmp_path)), NOW)
        require_certificate(ServerSettings(), NOW)
    assert logs == []


@pytest.mark.parametrize("days", [-1, 1])
def test_a_certificate_out_of_date_is_said_to_be(tmp_path: Path, days: int) -> None:
    with capture_logs() as logs:
        require_certificate(settings(*make_certificate(tmp_path)), NOW + timedelta(days=days))
    (line,) = logs
    assert line["event"] == "tls_certificate_out_of_date"
    assert line["path"] == str(tmp_path / "tls.pem")


def test_what_is_wrong_is_told_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, key = make_certificate(tmp_path)
    _, other_key = make_certificate(tmp_path / "other")
    text = tmp_path / "text"
    text.touch(mode=0o600)
    text.write_text("no PEM")
    nowhere = tmp_path / "nowhere"
    for pair, words in (
        ((nowhere, key), (str(nowhere), "No such file")),
        ((certificate, nowhere), (str(nowhere), "No such file")),
        ((text, key), (str(text), "no certificate in PEM")),
        ((certificate, text), (str(text), "cannot be used with")),
        ((certificate, other_key), (str(other_key), "has to be the key of that certificate")),
    ):
        with pytest.raises(ConfigError) as refused:
            require_certificate(settings(*pair), NOW)
        assert all(word in str(refused.value) for word in words), refused.value


def test_a_key_for_all_to_read_is_refused(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    key.chmod(0o640)
    require_certificate(settings(certificate, key), NOW)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=f"chmod o= {key}"):
        require_certificate(settings(certificate, key), NOW)
