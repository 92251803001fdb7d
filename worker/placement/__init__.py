"""Keeps a Placement service equal to our accounts, from the notifications alone."""
