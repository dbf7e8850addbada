"""``tests/gpu`` on the device: whether what is measured is right."""

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from tests.benchmarks.gpu.parts import Findings, Setup

NAME: Final = "tests/gpu"
_ROOT: Final = Path(__file__).parents[3]
_LONGEST_SHOWN: Final = 2000  # characters


def measure(setup: Setup) -> Findings:
    """How many of the tests passed, failed or were skipped."""
    yield NAME, run_tests(_ROOT / "tests" / "gpu", "gpu")


def run_tests(path: Path, mark: str) -> dict[str, object]:
    """The outcomes of the tests of a path that carry a mark, counted, and the end of what pytest said."""
    with tempfile.TemporaryDirectory(prefix="iqa-gpu-") as folder:
        report = Path(folder, "report.xml")
        done = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", mark,
                f"--junit-xml={report}", str(path),
            ],
            cwd=_ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        outcomes: Counter[str] = Counter()
        if report.exists():
            for case in ElementTree.parse(report).iter("testcase"):
                outcomes[next((child.tag for child in case if child.tag in _OUTCOMES), "passed")] += 1
    return {
        "passed": outcomes["passed"],
        "failed": outcomes["failure"] + outcomes["error"],
        "skipped": outcomes["skipped"],
        "right": done.returncode == 0 and outcomes["passed"] > 0,
        "said": "" if done.returncode == 0 else (done.stdout + done.stderr)[-_LONGEST_SHOWN:],
    }


_OUTCOMES: Final = ("failure", "error", "skipped")
