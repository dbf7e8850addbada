"""The worker is killed a few seconds after each readiness, again and again, under load.

No accepted request may fail, and no score may be wrong. Figures: how long the service takes to be ready
again, against its cold start.
"""

import os
import signal
import statistics
import sys
import time

import httpx

from tests.app.running import Server, metric, running
from tests.benchmarks.chaos.clients import Tally, address_of, loading, post
from tests.benchmarks.chaos.story import Environment, Story, arguments, counted, play_chosen, spread

_SAME_SCORE = 1e-4  # however it was batched, in float32
_SAME_SCORE_HALF = 5e-3
_NOTICED_S = 10.0
_PATIENCE_S = 120.0


def tell(
    story: Story, environment: Environment, image: bytes, *, kills: int, alive_s: float, clients: int
) -> None:
    """Kills the worker `kills` times, each time when it has been ready for `alive_s` under load."""
    began = time.monotonic()
    with running(environment) as (server, client):
        cold_s = time.monotonic() - began
        story.figure("cold start", f"{cold_s:.2f} s")
        alone = client.post("/score", content=image).json()["score"]
        with loading(address_of(client.base_url), [post(image)], clients) as load:
            outages = []
            for number in range(kills):
                _work(load, alive_s)
                outages.append(_kill_worker(server, client))
                story.say(f"kill {number + 1} of {kills}: ready again after {outages[-1]:.2f} s")
            _work(load, alive_s)
        _judge(story, load, alone, half=server.worker_states()[0].dtype != "float32")
        least, median, most = min(outages), statistics.median(outages), max(outages)
        story.figure(
            "ready again",
            f"least {least:.2f} s, median {median:.2f} s, most {most:.2f} s: "
            f"{median / cold_s:.2f} and {most / cold_s:.2f} of the cold start",
        )
        story.figure("answers", counted(load.statuses()))
        story.figure("their time, ms", spread([answer.seconds for _, answer in load.of_status(200)]))
        story.figure("sent again", f"{metric(client, 'iqa_resent_total'):.0f} requests")


def _work(load: Tally, seconds: float) -> None:
    """Lets the load go on for a time, and until it got some answers in it."""
    before, began = len(load.answers), time.monotonic()
    while time.monotonic() - began < seconds or len(load.answers) < before + 3:
        assert time.monotonic() - began < _PATIENCE_S, "the service is ready and answers nothing"
        time.sleep(0.02)


def _kill_worker(server: Server, client: httpx.Client) -> float:
    """Kills it; the seconds until the service is ready again."""
    (worker,) = server.children("app.inference.worker")
    os.kill(worker, signal.SIGKILL)
    killed = time.monotonic()
    while client.get("/readyz").status_code == 200:
        assert time.monotonic() - killed < _NOTICED_S, "nobody noticed that the worker is dead"
        time.sleep(0.005)
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() - killed < _PATIENCE_S, "the service does not become ready again"
        time.sleep(0.02)
    return time.monotonic() - killed


def _judge(story: Story, load: Tally, alone: float, half: bool) -> None:
    story.expect(load.of_status(200), "nothing was scored")
    for what in load.lost:
        story.never(what)
    for _, answer in load.answers:
        if answer.status not in (200, 429):
            story.never(f"an accepted request was answered with {answer.status} {answer.slug}")
    bound = _SAME_SCORE_HALF if half else _SAME_SCORE
    for _, score in load.scores():
        story.expect(abs(score - alone) <= bound, "a score is not what it is without the kills")


def main() -> int:
    chosen = arguments(__doc__, {"kills": 12, "alive_s": 3.0, "clients": 16})
    return play_chosen(
        f"kill -9 on the worker {chosen.alive_s:g} s after each readiness, {chosen.clients} clients",
        tell,
        chosen,
    )


if __name__ == "__main__":
    sys.exit(main())
