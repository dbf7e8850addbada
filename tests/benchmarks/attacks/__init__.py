"""What clients can do to each other, a story per attack: a good client beside it is answered all the same.

python -m tests.benchmarks.chaos thumbnails     one of them, as those of tests.benchmarks.chaos
"""
