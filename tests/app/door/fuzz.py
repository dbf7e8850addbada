"""Thousands of damaged images and requests: no 5xx, no hang, no process lost, good photographs score as ever.

    python -m tests.app.door.fuzz [--count 20000] [--seed 0] [--first 0] [--url URL] [--out FOLDER]

Without ``--url`` it starts a server of its own with the settings of the environment. Each request follows
from the seed and its number, so ``--first NUMBER --count 1`` sends it again; what was wrong about one is told
and its bytes are saved. The exit code is 1 if anything was.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.errors import PROBLEMS
from tests.app.door import mutations
from tests.app.door.making import plain
from tests.app.door.watch import look
from tests.app.door.wire import BARE, Address, Answer, Hang, address_of, exchange, lines_of, post
from tests.app.running import running

CLOSED: Final = "closed without an answer"
_BARE_STATUSES = frozenset({400, 408, 431})
"""Of the HTTP server itself: what cannot be parsed, half a head, a head without end."""
_BLOCK: Final = 500
"""Requests after which it is looked whether all is well."""
_CONNECTIONS: Final = 8
_PATIENCE_S: Final = 30.0
_TOLERANCE: Final = 1e-4
# Alone in float32 nothing moves a score; the cache must not answer in place of the models.
ENVIRONMENT: Final[dict[str, str | None]] = {
    "IQA_DTYPE": "float32",
    "IQA_CACHE_BYTES": "0",
    "IQA_DECODE_PROCESSES": os.environ.get("IQA_DECODE_PROCESSES"),
    "IQA_BODY_TIMEOUT_S": "5",
    "IQA_MAX_BODY_BYTES": "4000000",
}


@dataclass
class Findings:
    """What came of it.

    Attributes:
        outcomes: how often each status and slug came.
        faults: what must not be, by the number of the request; None where it is of no single one.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int | None, str]] = field(default_factory=list)

    def table(self) -> str:
        """The outcomes, a line each."""
        return "\n".join(f"  {count:7}  {outcome}" for outcome, count in sorted(self.outcomes.items()))


class Fuzzer:
    """Sends requests to one server.

    Args:
        address: of it.
        seed: of the requests.
        pid: of its first process, where it is ours: all its processes are watched.
        connections: at a time.
        patience_s: who says nothing for longer hangs.
    """

    def __init__(
        self,
        address: Address,
        seed: int,
        *,
        pid: int | None = None,
        connections: int = _CONNECTIONS,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self.findings = Findings()
        self._address = address
        self._seed = seed
        self._pid = pid
        self._connections = connections
        self._patience_s = patience_s
        self._scores = self._score()
        self._processes = self._alive()

    def run(self, first: int, count: int) -> Iterator[int]:
        """Sends so many requests, from the number `first` on; yields how many are done, now and then."""
        with ThreadPoolExecutor(self._connections, "fuzz") as pool:
            for begin in range(first, first + count, _BLOCK):
                numbers = range(begin, min(begin + _BLOCK, first + count))
                for number, (outcome, fault) in zip(numbers, pool.map(self._send, numbers), strict=True):
                    self.findings.outcomes[outcome] += 1
                    if fault:
                        self.findings.faults.append((number, fault))
                self._look_after(numbers)
                yield numbers[-1] + 1 - first

    def _send(self, number: int) -> tuple[str, str]:
        """The outcome of a request, and what is wrong about it, if anything is."""
        request = mutations.request(self._seed, number)
        try:
            answers = exchange(
                self._address, request.data, hang_up=request.hangs_up, patience_s=self._patience_s
            )
        except Hang:
            return "hang", "it hangs"
        except OSError:
            return "no connection", "nobody listens"
        except ValueError:
            return "no HTTP", "an answer that cannot be read"
        if not answers:
            return CLOSED, "" if request.hangs_up else CLOSED
        return str(answers[0]), fault_of(answers[0])

    def _look_after(self, numbers: range) -> None:
        where = f"after the requests {numbers[0]} to {numbers[-1]}"
        try:
            scores = self._score()
        except (AssertionError, Hang, OSError) as error:
            self.findings.faults.append((None, f"a good photograph is not scored {where}: {error}"))
        else:
            if any(abs(scores[name] - score) > _TOLERANCE for name, score in self._scores.items()):
                self.findings.faults.append((None, f"scores were {self._scores}, and are {scores} {where}"))
        if (alive := self._alive()) != self._processes:
            self.findings.faults.append((None, f"processes were {self._processes}, and are {alive} {where}"))
            self._processes = alive

    def _score(self) -> dict[str, float]:
        answers = exchange(self._address, post("/score", plain()), patience_s=self._patience_s)
        assert answers, CLOSED
        assert answers[0].status == 200, str(answers[0])
        return {name: model["score"] for name, model in answers[0].json()["models"].items()}

    def _alive(self) -> set[int]:
        return set() if self._pid is None else set(look(self._pid).peaks)


def fault_of(answer: Answer) -> str:
    """What is wrong about an answer to a damaged request; empty if nothing is."""
    if answer.slug == BARE:
        return "" if answer.status in _BARE_STATUSES else f"a bare {answer.status}"
    if not answer.slug:
        return _fault_of_good(answer) if answer.status == 200 else f"a {answer.status} that is no problem"
    return _fault_of_problem(answer.status, answer.slug)


def _fault_of_good(answer: Answer) -> str:
    match answer.headers.get("content-type", "").partition(";")[0]:
        case "application/json":
            objects = [answer.json()]
        case "application/x-ndjson":
            objects = list(lines_of(answer))
        case "image/png":
            return ""
        case other:
            return f"a good answer of type {other!r}"
    for found in objects:
        if "type" in found:  # a line for a file that is refused
            slug = str(found["type"]).removeprefix("/problems/")
            if fault := _fault_of_problem(found["status"], slug):
                return fault
        elif not 0.0 <= found.get("score", -1.0) <= 1.0:  # nor is NaN in between
            return f"a score of {found.get('score')}"
    return ""


def _fault_of_problem(status: int, slug: str) -> str:
    problem = PROBLEMS.get(slug)
    if problem is None or problem.status != status:
        return f"{status} {slug}: no problem of the table"
    # From 500 on, it is a fault of the server's.
    return f"{status} {slug}" if status >= 500 else ""


def save(findings: Findings, seed: int, folder: Path) -> None:
    """Writes the requests at fault to files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, _ in findings.faults:
        if number is not None:
            (folder / f"{seed}-{number}.http").write_bytes(mutations.request(seed, number).data)


@contextlib.contextmanager
def _server(url: str | None) -> Iterator[tuple[Address, int | None]]:
    if url is not None:
        yield address_of(url), None
        return
    with running(ENVIRONMENT) as (server, client):
        yield address_of(client.base_url), server.process.pid


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first request")
    parser.add_argument("--connections", type=int, default=_CONNECTIONS)
    parser.add_argument("--patience", type=float, default=_PATIENCE_S, help="seconds; longer is a hang")
    parser.add_argument("--url", help="of a running server; by default one is started")
    parser.add_argument("--out", type=Path, help="folder for the requests at fault")
    chosen = parser.parse_args()
    with _server(chosen.url) as (address, pid):
        fuzzer = Fuzzer(
            address, chosen.seed, pid=pid, connections=chosen.connections, patience_s=chosen.patience
        )
        began, findings, told = time.monotonic(), fuzzer.findings, 0
        for done in fuzzer.run(chosen.first, chosen.count):
            rate = done / (time.monotonic() - began)
            print(f"{done:7} of {chosen.count}, {rate:.0f}/s, {len(findings.faults)} faults", file=sys.stderr)
            for number, fault in findings.faults[told:]:
                print(f"FAULT: request {number}: {fault}", file=sys.stderr)
            told = len(findings.faults)
    print(findings.table())
    if findings.faults:
        folder = chosen.out or Path(tempfile.mkdtemp(prefix="iqa-fuzz-"))
        save(findings, chosen.seed, folder)
        print(f"{len(findings.faults)} faults; the requests are in {folder}")
        return 1
    print(f"{sum(findings.outcomes.values())} requests, seed {chosen.seed}: no fault")
    return 0


if __name__ == "__main__":
    sys.exit(main())
