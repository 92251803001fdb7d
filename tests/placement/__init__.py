"""A real Placement for the tests: its server, a proxy that gets in its way, and the comparison with our accounts."""
