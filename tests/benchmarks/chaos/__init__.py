"""What the service must survive, a program per story; each says what it measured and what must never happen.

    python -m tests.benchmarks.chaos            every story, one after the other
    python -m tests.benchmarks.chaos kills      one of them; --help says what can be chosen
    python -m tests.benchmarks.chaos everything --minutes 60

Stories of clients that attack are in :mod:`tests.benchmarks.attacks`; they are told in the same way.
A story starts a server of its own with the settings of the environment (``IQA_*``; by default the bundled
weights) and stops it. The exit code is 1 if something happened that never must: a request lost, a wrong
answer, a leak. Times are figures, and faults only where a bar is named. The tests run the same stories,
shorter.
"""
