"""The long proofs: kills, seeds, crashes and cycles by the thousand, too slow for the test suite.

Each module has ``main(argv) -> int``; ``python3 bootstrap.py prove NAME`` runs one. With ``--log`` before the
name its raw output is kept in ``docs/proofs/NAME.txt``.
"""
