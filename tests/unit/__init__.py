"""Tests without I/O: the core, the objects, the handler."""
