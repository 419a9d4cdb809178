"""Decisions without a loop: states, graphs, books, blueprints. No await, no I/O, no clock, no logging."""
