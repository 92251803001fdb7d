"""Errors that a caller may see; oslo.messaging rebuilds them from their arguments."""


class NotFound(Exception):
    """Nothing of that name or uuid is on record; the message names it."""


class InvalidField(ValueError):
    """A field that breaks its rule: ``path`` says which one, ``problem`` what is wrong with it."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"
