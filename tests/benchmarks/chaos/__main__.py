"""Every story, one after the other, as each of them is by default."""

import subprocess
import sys
import time

STORIES = ("kills", "overload", "vanish", "drain", "memory", "poison")
_LONGEST_S = 3600.0


def main() -> int:
    failed = []
    for story in STORIES:
        began = time.monotonic()
        command = [sys.executable, "-m", f"tests.benchmarks.chaos.{story}"]
        if subprocess.run(command, check=False, timeout=_LONGEST_S).returncode != 0:
            failed.append(story)
        print(f"  ({story} took {time.monotonic() - began:.0f} s)\n", flush=True)
    print(
        f"what must never happen did in {', '.join(failed)}" if failed else "nothing happened that must not"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
