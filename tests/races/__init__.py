"""Scripted races: what several parties say of the same records, in every order in which it can come."""
