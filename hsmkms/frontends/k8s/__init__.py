"""The Kubernetes KMS v2 plugin (gRPC over a Unix socket); built later."""
