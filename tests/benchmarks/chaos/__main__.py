"""Every story, one after the other, as each of them is by default; or one, with its options.

`everything` is told only where it is named: it takes an hour.
"""

import subprocess
import sys
import time
from importlib.util import find_spec

STORIES = (
    *("kills", "overload", "vanish", "drain", "memory", "poison"),
    *("pairs", "large_images", "thumbnails", "deadlines", "holders", "pipelines", "slow_crowd"),
    *("starved_decoders", "hangs", "full_disk", "keys"),
)
_PACKAGES = "tests.benchmarks.chaos", "tests.benchmarks.attacks"
_LONGEST_S = 3600.0


def main() -> int:
    if len(sys.argv) > 1:
        _, story, *options = sys.argv
        return subprocess.run(_command(story, *options), check=False).returncode
    failed = []
    for story in STORIES:
        began = time.monotonic()
        if subprocess.run(_command(story), check=False, timeout=_LONGEST_S).returncode != 0:
            failed.append(story)
        print(f"  ({story} took {time.monotonic() - began:.0f} s)\n", flush=True)
    print(
        f"what must never happen did in {', '.join(failed)}" if failed else "nothing happened that must not"
    )
    return 1 if failed else 0


def _command(story: str, *options: str) -> list[str]:
    modules = [f"{package}.{story}" for package in _PACKAGES]
    found = [module for module in modules if find_spec(module)] or modules
    return [sys.executable, "-m", found[0], *options]


if __name__ == "__main__":
    sys.exit(main())
