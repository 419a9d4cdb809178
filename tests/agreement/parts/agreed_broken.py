"""A module that fails when it is imported."""

LIMIT = int("ten")
