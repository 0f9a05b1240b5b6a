"""The AWS external key store proxy API; built later."""
