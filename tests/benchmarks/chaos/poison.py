"""An image that ends the worker whenever it is aboard: it alone is refused, and nobody beside it pays.

The image is a harmless one; the worker is made to die of it by a module that Python imports at its start
(``sitecustomize``) from a folder on PYTHONPATH. Nothing of the service knows about it. Figures: how long the
culprits were tried, how often the worker died, and what it cost those beside them.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import httpx
from PIL import Image

from tests.app.files import encoded
from tests.app.running import Server, eventually, running
from tests.benchmarks.chaos.clients import Tally, address_of, loading, post
from tests.benchmarks.chaos.story import Environment, Story, arguments, counted, play_chosen, spread

_ROOT = Path(__file__).parents[3]
_MARK = (1, 254, 7)  # every pixel of a culprit
_SABOTAGE = f'''
"""Ends the process that scores an image whose pixels are all {_MARK}."""

import importlib.abc, os, signal, sys


class _Saboteur(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "app.inference.engine":
            return None
        sys.meta_path.remove(self)
        import importlib.util

        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def run_and_spoil(module):
            run(module)
            spoil(module.Engine)

        spec.loader.exec_module = run_and_spoil
        return spec


def spoil(engine):
    run = engine.run

    def run_or_die(self, tasks):
        if any((task.pixels == {_MARK}).all() for task in tasks if hasattr(task, "pixels")):
            os.kill(os.getpid(), signal.SIGKILL)
        return run(self, tasks)

    engine.run = run_or_die


sys.meta_path.insert(0, _Saboteur())
'''


def tell(
    story: Story, environment: Environment, image: bytes, *, culprits: int, clients: int, patience_s: float
) -> None:
    with Image.open(BytesIO(image)) as neighbor:  # of one size, so that they share batches
        poison = encoded(Image.new("RGB", neighbor.size, _MARK), "PNG")
    chosen = {
        **environment,
        "IQA_TIMEOUT_S": str(patience_s),  # the worker has to come back several times
        # Some always wait, for the culprit to join, and all of them find room beside it.
        "IQA_BATCH_IMAGES": str(max(2, clients * 2 // 3)),
        "IQA_BATCH_PIXELS": str(2**28),
    }
    with _sabotaged(chosen) as spoiled, running(spoiled) as (server, client):
        alone = client.post("/score", content=image).json()["score"]
        with loading(address_of(client.base_url), [post(image)], clients) as neighbors:
            eventually(lambda: len(neighbors.answers) >= clients)
            story.say("the culprits come")
            began = time.monotonic()
            answers = _send(client, poison, culprits, patience_s)
            tried_s = time.monotonic() - began
            story.say("the culprits are answered")
        _judge_culprits(story, answers, poison, server)
        _judge_neighbors(story, neighbors, alone)
        eventually(lambda: client.get("/readyz").status_code == 200)
        story.expect(client.post("/score", content=image).status_code == 200, "it does not score afterwards")
        story.figure("culprits", counted(_outcome(answer) for answer in answers))
        story.figure("tried for", f"{tried_s:.1f} s")
        story.figure("the worker died", f"{server.worker_states()[0].restarts} times")
        story.figure("beside them", counted(neighbors.statuses()))
        story.figure("their time, ms", spread([answer.seconds for _, answer in neighbors.of_status(200)]))


@contextmanager
def _sabotaged(environment: Environment) -> Iterator[Environment]:
    """An environment in which the worker dies of a culprit."""
    with tempfile.TemporaryDirectory(prefix="iqa-sabotage-") as folder:
        (Path(folder) / "sitecustomize.py").write_text(_SABOTAGE, encoding="utf-8")
        yield {**environment, "PYTHONPATH": f"{folder}:{_ROOT}"}


def _send(client: httpx.Client, poison: bytes, culprits: int, patience_s: float) -> list[httpx.Response]:
    """The culprits' answers; they come at once and wait as long as they must."""
    with ThreadPoolExecutor(culprits) as pool:
        sent = [
            pool.submit(client.post, "/score", content=poison, timeout=2 * patience_s)
            for _ in range(culprits)
        ]
        return [one.result() for one in sent]


def _outcome(answer: httpx.Response) -> str:
    slug = answer.json().get("type", "").removeprefix("/problems/")
    return f"{answer.status_code} {slug}".strip()


def _judge_culprits(story: Story, answers: list[httpx.Response], poison: bytes, server: Server) -> None:
    for answer in answers:
        outcome = _outcome(answer)
        story.expect(outcome == "500 poison-input", f"a culprit was answered with {outcome}")
    digest = sha256(poison).hexdigest()
    logged = [entry for entry in server.entries() if entry["level"] == "error" and digest in str(entry)]
    story.expect(len(logged) == len(answers), "a culprit's digest is not in the log")


def _judge_neighbors(story: Story, neighbors: Tally, alone: float) -> None:
    for what in neighbors.lost:
        story.never(f"beside a culprit {what}")
    for _, answer in neighbors.answers:
        story.expect(answer.status == 200, f"beside a culprit somebody got {answer.status} {answer.slug}")
    for _, score in neighbors.scores():
        story.expect(abs(score - alone) <= 5e-3, "beside a culprit a score is another")


def main() -> int:
    chosen = arguments(__doc__, {"culprits": 1, "clients": 8, "patience_s": 120.0})
    return play_chosen(
        f"{chosen.culprits} images that end the worker, among the load of {chosen.clients} clients",
        tell,
        chosen,
    )


if __name__ == "__main__":
    sys.exit(main())
