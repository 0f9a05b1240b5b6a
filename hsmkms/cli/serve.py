"""``hsmkms serve``: the service on tokens that ``hsmkms init`` prepared."""

from __future__ import annotations

from hsmkms.cli.elsewhere import run_elsewhere
from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import ConfigFile, migrated_settings
from hsmkms.cli.output import ExitCode, errors, fail
from hsmkms.config import Settings
from hsmkms.ports.hsm import ReadinessState
from hsmkms.server.supervisor import serve as run_server
from hsmkms.wiring.examination import examine_tokens


def serve(config: ConfigFile) -> None:
    """Serve the AWS KMS API on prepared tokens."""
    with reported_failures():
        settings = migrated_settings(config)
        if not settings.server.is_loopback and settings.server.tls_certificate is None:
            fail(
                f"other machines can reach {settings.server.listen}: set tls_certificate and tls_key",
                ExitCode.CONFIG,
            )
        _require_tokens(settings)
        run_server(settings, lambda url: errors.print(f"hsmkms: serving {url}", markup=False))


def _require_tokens(settings: Settings) -> None:
    """Try each token once before any worker does; a lost region does not stop the others."""
    found = run_elsewhere(examine_tokens, settings)
    unusable = {
        region: readiness
        for region, readiness in found.items()
        if readiness.state is not ReadinessState.READY
    }
    for region, readiness in unusable.items():
        errors.print(f"hsmkms: region {region}: {readiness.reason}", markup=False)
    refused = any(readiness.state is ReadinessState.REFUSED for readiness in unusable.values())
    if refused or len(unusable) == len(found):
        fail("not started", ExitCode.TOKEN)
