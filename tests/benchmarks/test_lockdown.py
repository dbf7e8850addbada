"""The program that measures the lock-down, for a moment: it decodes in both decoders; no time."""

import pytest

from app.imaging.sandbox.process import COMMAND, Decoder
from tests.benchmarks import lockdown
from tests.benchmarks.lockdown import Cost

pytestmark = pytest.mark.process


def test_both_decoders_decode_every_file() -> None:
    locked, unlocked = Decoder(COMMAND, lockdown.LIMITS), Decoder(lockdown._UNLOCKED, lockdown.LIMITS)
    try:
        assert locked.lockdown.seccomp
        assert unlocked.lockdown.missing == ("Landlock", "seccomp")
        costs = {
            name: lockdown.measure(data, locked, unlocked, rounds=2)
            for name, data in lockdown.files(((64, 48),))
        }
    finally:
        locked.kill()
        unlocked.kill()
    assert len(costs) == 9
    assert all(cost.ratio > 0 and cost.processor_ratio > 0 for cost in costs.values())
    assert lockdown.report(costs).count("\n") == 10


def test_ratios() -> None:
    cost = Cost(locked_s=2.1, unlocked_s=2.0, locked_processor_s=1.0, unlocked_processor_s=0.8)
    assert (round(cost.ratio, 6), round(cost.processor_ratio, 6)) == (1.05, 1.25)
    assert lockdown.report({"one": cost}).endswith(" 1.050  1.250")
