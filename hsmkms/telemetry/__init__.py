"""Counters and latencies, kept by each worker and shown by ``frontends/ops``; built later."""
