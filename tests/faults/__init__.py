"""Whole workers behind a bus with faults; ``python -m tests.faults`` runs as many seeds as one has time for."""
