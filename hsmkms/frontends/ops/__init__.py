"""For whoever runs the service: is it alive, does it serve, and if not, why."""

from hsmkms.frontends.ops.health import HealthPages

__all__ = ["HealthPages"]
