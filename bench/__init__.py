"""What this service costs on this machine, beside what the token alone can do. See docs/performance.md."""
