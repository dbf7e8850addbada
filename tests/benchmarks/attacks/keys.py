"""A key is revoked by a file of keys that is emptied, or has another line mistyped; a small budget is spent.

Whatever is wrong with the file, a key that is no longer in it lets nobody in two seconds later, and a metric
says that something is wrong. Of twelve large images of a key with a small budget, not all are decoded.
Figures: after how long a key was revoked and was in force again, and the answers to the large images.
"""

import asyncio
import hashlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from tests.app.running import eventually, metric, running
from tests.benchmarks.attacks.hostile import all_at_once, large_image, unique
from tests.benchmarks.chaos.clients import address_of, post
from tests.benchmarks.chaos.story import Environment, Story, arguments, counted, play_chosen

_STAYS, _REVOKED, _SMALL = "iqa_that_stays", "iqa_that_is_revoked", "iqa_with_a_small_budget"
_RATE = 100_000
_REVOKED_S = 2.0
_SIDES = 10_000, 5000
_LOOK_S = 0.05
_PATIENCE_S = 20.0


def tell(
    story: Story,
    environment: Environment,
    image: bytes,
    *,
    large: int,
    faults: Sequence[str] = (),
    sides: tuple[int, int] = _SIDES,
    judged: bool = True,
) -> None:
    """Judges how soon a key is revoked if `judged`, and what becomes of so many large images of one key.

    The file has the `faults`, one after the other; by default all that are known here.
    """
    stays, revoked, small = _line("stays", _STAYS), _line("revoked", _REVOKED), _line("small", _SMALL, _RATE)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "keys")
        file.write_text(stays + revoked + small)
        with running({**environment, "IQA_API_KEYS_FILE": str(file)}) as (_, client):
            _spend(story, client, large_image(*sides), large)
            wrong: dict[str, tuple[str | None, int]] = {
                "emptied": ("", 401),
                "a line mistyped": (stays + small.replace(":", ";"), 200),
                "deleted": (None, 401),
            }
            for how in faults or wrong:
                text, others = wrong[how]
                _revoke(story, client, file, how, text, judged)
                status = _asked(client, _STAYS)
                story.expect(status == others, f"{how}: the key that stays is answered {status}")
                seconds = _until(lambda: metric(client, "iqa_key_faults") >= 1)
                story.figure(f"{how}: iqa_key_faults is 1", f"{seconds:.2f} s later")
                file.write_text(stays + revoked + small)
                seconds = _until(lambda: _asked(client, _REVOKED) == 200)
                story.figure(f"{how}: in force again", f"after {seconds:.2f} s")
                eventually(lambda: metric(client, "iqa_key_faults") == 0, _PATIENCE_S)


def _revoke(story: Story, client: httpx.Client, file: Path, how: str, text: str | None, judged: bool) -> None:
    assert _asked(client, _REVOKED) == 200
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    seconds = _until(lambda: _asked(client, _REVOKED) == 401)
    story.figure(f"{how}: revoked", f"after {seconds:.2f} s")
    story.expect(not judged or seconds <= _REVOKED_S, f"{how}: the key works for {seconds:.1f} s")


def _spend(story: Story, client: httpx.Client, strip: bytes, large: int) -> None:
    """Large images of one key, at once and then one after the other."""
    headers = {"X_API_Key": _SMALL}
    requests = [post(unique(strip), **headers) for _ in range(large)]
    at_once = asyncio.run(all_at_once(address_of(client.base_url), requests))
    in_turn = Counter(
        str(
            client.post(
                "/score", content=unique(strip), headers={"X-API-Key": _SMALL}, timeout=60
            ).status_code
        )
        for _ in range(large)
    )
    story.figure("large images at once", counted(at_once.elements()))
    story.figure("large images in turn", counted(in_turn.elements()))
    for status in (*at_once, *in_turn):
        story.expect(status[:3] in ("200", "429"), f"a large image is answered: {status}")
    story.expect(at_once["200"] + in_turn["200"] <= 2, "large images are decoded beyond the budget")


def _asked(client: httpx.Client, key: str) -> int:
    """The status that a request with a key gets; nothing is decoded for it."""
    return client.get("/policies", headers={"X-API-Key": key}).status_code


def _until(condition: Callable[[], bool]) -> float:
    """The seconds until a condition holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < _PATIENCE_S, "it never came true"
        time.sleep(_LOOK_S)
    return time.monotonic() - began


def _line(name: str, key: str, rate: int | None = None) -> str:
    limit = "" if rate is None else f":{rate}"
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}{limit}\n"


def main() -> int:
    chosen = arguments(__doc__, {"large": 12})
    return play_chosen("keys that are revoked, and a budget that is spent", tell, chosen)


if __name__ == "__main__":
    sys.exit(main())
