"""A module beside a blueprint that has the name of one of Python's own."""
