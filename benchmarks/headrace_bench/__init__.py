"""The benchmarks of headrace: what ``headrace bench`` measures, against whom, and what is to be reached.

``rows/`` has one module a subject, ``peers/`` one a library, each written as its own docs would have it.
"""
