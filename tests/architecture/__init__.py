"""Tests of the form of the project: imports, sizes, options, packaging."""
