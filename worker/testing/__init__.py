"""A kit for tests, ours and other people's: a bus with faults, drawn from a seed (docs/testing.md)."""
