"""How fast the page is for the person before it: one photograph from drop to score, and fifty at once.

    python -m tests.benchmarks.page [--size 1600x1200] [--rounds 20] [--many 50]

A photograph dropped on the page and the same request by a plain client take turns, so that the comparison
holds on a machine that slows down. Nothing is remembered, and no two files of a run are the same. The browser
shares the machine with the service. Needs Chromium and playwright.
"""

import argparse
import base64
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import httpx
from playwright.sync_api import Page

from tests.app.running import running
from tests.app.web.browser import chromium, opened
from tests.benchmarks.chaos.story import service_environment
from tests.benchmarks.remembered import files_of

# Drops a file, and promises milliseconds: until its score was painted, until the request was sent, and what
# the service says it took itself.
_ONE = """
async ([name, content]) => {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
    performance.clearResourceTimings();
    const shown = new Promise((resolve) => {
        const observer = new MutationObserver(() => {
            if (!document.querySelector("#cards [data-part=score]")?.textContent) return;
            observer.disconnect();
            requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
        });
        observer.observe(document.getElementById("cards"), { subtree: true, childList: true });
    });
    const began = performance.now();
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    const total = (await shown) - began;
    const entry = performance.getEntriesByType("resource").find((each) => each.name.includes("/score?"));
    const service = entry.serverTiming.find((each) => each.name === "total").duration;
    return { total, sent: entry.startTime - began, service };
}
"""
# Drops many files, and promises how long all took, the longest task and the longest time between two frames.
_MANY = """
async (contents) => {
    const dataTransfer = new DataTransfer();
    contents.forEach((content, i) => {
        const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
        dataTransfer.items.add(new File([bytes], `${i}.jpg`, { type: "image/jpeg" }));
    });
    // What unpacking them left behind is not the page's.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const tasks = [];
    const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries()));
    observer.observe({ type: "longtask" });
    const gaps = [];
    let last = performance.now();
    let over = false;
    const painted = new Promise((resolve) => {
        const frame = () => {
            gaps.push(performance.now() - last);
            last = performance.now();
            if (over) resolve();
            else requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
    });
    const began = performance.now();
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    const drop = performance.now() - began;
    const wanted = `${contents.length} of ${contents.length} scored`;
    const limit = began + 300_000;
    while (document.getElementById("counts").textContent !== wanted && performance.now() < limit)
        await new Promise((resolve) => setTimeout(resolve, 20));
    over = true;
    const milliseconds = performance.now() - began;
    // A few photographs may all be scored before a busy machine paints once: the next frame closes the gap.
    await Promise.race([painted, new Promise((resolve) => setTimeout(resolve, 60_000))]);
    for (const entry of observer.takeRecords()) tasks.push(entry);
    const longest = Math.max(0, ...tasks.map((task) => task.duration));
    return { milliseconds, drop, tasks: tasks.length, longest, gap: Math.max(...gaps), frames: gaps.length };
}
"""


@dataclass(frozen=True)
class Times:
    """Milliseconds of each round.

    Attributes:
        shown: from the drop to the painted score.
        sent: from the drop to the request.
        service: that the service says it took for that same request.
        client: that a plain client waited for another file of the kind.
    """

    shown: list[float]
    sent: list[float]
    service: list[float]
    client: list[float]


def one_by_one(page: Page, client: httpx.Client, files: Iterator[bytes], rounds: int) -> Times:
    """One photograph at a time, after a round to warm up."""
    times = Times([], [], [], [])
    for turn in range(rounds + 1):
        found = page.evaluate(_ONE, [f"{turn}.jpg", base64.b64encode(next(files)).decode()])
        page.get_by_role("button", name="Remove all").click()
        began = time.perf_counter()
        client.post("/score?quality_map=true", content=next(files)).raise_for_status()
        waited = 1000 * (time.perf_counter() - began)
        if turn:
            times.shown.append(found["total"])
            times.sent.append(found["sent"])
            times.service.append(found["service"])
            times.client.append(waited)
    return times


def at_once(page: Page, files: Iterator[bytes], many: int) -> dict[str, float]:
    """Many photographs dropped together: milliseconds of all, of the longest task and between two frames."""
    contents = [base64.b64encode(data).decode() for data in islice(files, many)]
    found: dict[str, float] = page.evaluate(_MANY, contents)
    return found


def report(times: Times, many: dict[str, float]) -> str:
    """Medians and what the page adds, and how it did with many."""
    added = [shown - service for shown, service in zip(times.shown, times.service, strict=True)]
    lines = [
        f"  from drop to request       median {statistics.median(times.sent):7.1f} ms",
        f"  from drop to score shown   median {statistics.median(times.shown):7.1f} ms",
        f"  the service's own total    median {statistics.median(times.service):7.1f} ms",
        f"  a plain client's wait      median {statistics.median(times.client):7.1f} ms",
        f"  added by the page          median {statistics.median(added):7.1f} ms, worst {max(added):.1f} ms",
        f"  all at once: {many['milliseconds'] / 1000:.1f} s; the drop itself {many['drop']:.1f} ms",
        f"  {many['tasks']:.0f} tasks over 50 ms, the longest {many['longest']:.0f} ms; "
        f"{many['frames']:.0f} frames, the longest gap {many['gap']:.0f} ms",
    ]
    return "\n".join(lines)


@contextmanager
def subject(environment: dict[str, Any]) -> Iterator[tuple[Page, httpx.Client]]:
    """The page of a service in a browser, and a client of that service."""
    with (
        running({**service_environment(), **environment}) as (_, client),
        chromium() as browser,
        opened(browser, str(client.base_url)) as page,
    ):
        page.locator("#about:not(:empty)").wait_for(state="attached")
        yield page, client


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", default="1600x1200", help="width x height in pixels")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--many", type=int, default=50, help="photographs that are dropped together")
    chosen = parser.parse_args()
    width, height = map(int, chosen.size.split("x"))
    files = files_of((width, height))
    with subject({}) as (page, client):
        times = one_by_one(page, client, files, chosen.rounds)
        many = at_once(page, files, chosen.many)
    print(f"photographs of {chosen.size} pixels, {chosen.rounds} one by one and {chosen.many} at once")
    print(report(times, many))
    return 0


if __name__ == "__main__":
    sys.exit(main())
