"""The audit trail: JSON lines now; chains, signatures, sinks and search later."""
