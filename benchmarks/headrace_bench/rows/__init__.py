"""What is measured, one module a subject; each gives its ``RACES``."""
