"""The figures of a run as Markdown tables, for the README of the benchmarks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]


def tables(results: Figures) -> str:
    """All tables of a run, and what was not measured.

    Args:
        results: as ``python -m tests.benchmarks.gpu --out`` writes them.
    """
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Figures) -> Iterator[str]:
    yield f"**{results['card']}**, {results['machine']['processor']}, {results['machine']['cores']} cores, "
    yield f"{results['connections']} connections, torch {results['machine']['packages']['torch']}."
    parts = results["parts"]
    for name, figures in parts.items():
        for test, counts in figures["found"].items():
            if name == "correctness":
                yield ""
                outcomes = (f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped"))
                yield f"`{test}`: {', '.join(outcomes)}."
    yield from _table(
        (
            "models, trace", "ceiling", "service", "service / ceiling", "a lone request: p50, p99",
            "images a batch", "worker busy", "kernels running", "decoders busy", "decoding / all work",
            "memory",
        ),
        _rows(parts, "service", _service_row),
    )  # fmt: skip
    yield from _table(
        ("models, images a batch", "batch", "images/s", "memory"), _rows(parts, "batches", _batch_row)
    )
    yield from _table(
        ("models, candidate", "work", "without", "with", "with / without", "scores apart"),
        _rows(parts, "candidates", _candidate_row),
    )
    missing = [
        f"- {name}: {'; '.join(measurements)}: {reason}"
        for name, figures in parts.items()
        for reason, measurements in _by_reason(figures["missing"])
    ]
    if missing:
        yield from ("", "Not measured:", "", *missing)


def _rows(
    parts: Figures, kind: str, rows_of: Callable[[str, str, Figures], Iterator[Sequence[str]]]
) -> list[Sequence[str]]:
    """The rows of the parts of a kind, which are named for it and the size of the models."""
    return [
        row
        for name, figures in parts.items()
        if name.partition(" ")[0] == kind
        for measurement, found in figures["found"].items()
        for row in rows_of(name.partition(" ")[2], measurement, found)
    ]


def _by_reason(missing: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    for reason in dict.fromkeys(missing.values()):
        yield reason, [name for name, own in missing.items() if own == reason]


def _service_row(size: str, trace: str, found: Figures) -> Iterator[Sequence[str]]:
    few = "" if found["lone_requests"] >= 100 else f" (of {found['lone_requests']})"
    yield (
        f"{size}, {trace}",
        _short(found["ceiling"]),
        _short(found["service"]),
        _percent(found["ratio"]),
        f"{_short(found['lone_p50_ms'])} ms, {_short(found['lone_p99_ms'])} ms{few}",
        f"{found['batch_images']:.1f}",
        _percent(found["busy_share"]),
        _percent(found["kernel_share"]),
        _percent(found["decoders_busy_share"]),
        _percent(found["decode_share"]),
        f"{found['memory_mib']:.0f} MiB",
    )


def _batch_row(size: str, count: str, found: Figures) -> Iterator[Sequence[str]]:
    memory = "-" if found["memory_mib"] is None else f"{found['memory_mib']:.0f} MiB"
    yield f"{size}, {count}", f"{_short(found['batch_ms'])} ms", _short(found["images_per_s"]), memory


def _candidate_row(size: str, measurement: str, found: Figures) -> Iterator[Sequence[str]]:
    candidate, _, work = measurement.rpartition(": ")
    if "failed" in found:
        yield f"{size}, {candidate}", work, found["failed"], "-", "-", "-"
        return
    yield (
        f"{size}, {candidate}",
        work,
        f"{_short(found['without_ms'])} ms",
        f"{_short(found['with_ms'])} ms",
        f"{found['ratio']:.2f}",
        f"{found['scores_apart']:.1e}",
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table after an empty line; nothing without rows."""
    if rows:
        yield ""
        for cells in (heads, ["---"] * len(heads), *rows):
            yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _short(value: float) -> str:
    """Three digits, or all of a whole number that has more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"
