"""The accounting core: frozen values and plain functions over the standard library only.

No clock, no identifiers made, no logging, no I/O: time and identifiers come in with the command.
"""
