"""The real Prometheus for tests: the product's configuration and rules, with targets on loopback."""

import contextlib
import math
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import yaml

from tests.app.running import eventually
from tests.docker.balancing import end, free_ports

FOLDER: Final = Path(__file__).parents[2] / "docker" / "prometheus"
DASHBOARD: Final = FOLDER.parent / "grafana" / "dashboards" / "iqa.json"
MISSING: Final = "Prometheus and promtool are not installed (Debian: prometheus)."

_INTERVAL: Final = "1s"
_DAY_S: Final = 86_400


def program(name: str) -> str:
    """Where prometheus or promtool is; empty where it is not installed."""
    return shutil.which(name) or ""


def rules(file: str) -> list[dict[str, Any]]:
    """The rules of one of the product's files: recording or alerts."""
    groups = yaml.safe_load((FOLDER / "rules" / f"{file}.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard, those in rows included, without the rows."""
    every = [each for panel in dashboard["panels"] for each in (panel, *panel.get("panels", []))]
    return [panel for panel in every if panel["type"] != "row"]


class Prometheus:
    """A running Prometheus, inside the ``with`` block.

    Args:
        folder: for its files.
        targets: of each job, in place of those of docker/prometheus/prometheus.yml; its own it finds itself.
        yesterday: values of series, which they had for an hour around this time a day ago.
    """

    def __init__(
        self, folder: Path, targets: Mapping[str, Sequence[str]], yesterday: Mapping[str, float]
    ) -> None:
        (port,) = free_ports("127.0.0.1")
        self._address = f"127.0.0.1:{port}"
        self._folder = folder
        self._data = folder / "data"
        self._configuration = folder / "prometheus.yml"
        variant = _variant({**targets, "prometheus": [self._address]})
        self._configuration.write_text(yaml.safe_dump(variant), encoding="utf-8")
        self._remember(yesterday)

    def __enter__(self) -> Self:
        self._log = (self._folder / "log").open("wb")
        self._client = httpx.Client(base_url=f"http://{self._address}", timeout=30)
        self._process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={self._configuration}",
                f"--storage.tsdb.path={self._data}",
                f"--web.listen-address={self._address}",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually(self._answers, 30)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        end(self._process)
        self._log.close()

    def values(self, query: str) -> list[float]:
        """The numbers that a query has at the moment; what is not a number is left out."""
        found = (float(sample["value"][1]) for sample in self._ask("query", query=query)["result"])
        return [value for value in found if not math.isnan(value)]

    def targets(self) -> dict[str, list[str]]:
        """The health of the targets of each job."""
        health: dict[str, list[str]] = {}
        for target in self._ask("targets")["activeTargets"]:
            health.setdefault(target["labels"]["job"], []).append(target["health"])
        return health

    def rules(self) -> list[dict[str, Any]]:
        """All rules, and how they fare."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def without(self, queries: Iterable[str]) -> list[str]:
        """Those of the queries that have no data."""
        return [query for query in queries if not self.values(query)]

    def _ask(self, what: str, **parameters: str) -> Any:
        answer = self._client.get(f"/api/v1/{what}", params=parameters).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text(encoding="utf-8")
        with contextlib.suppress(httpx.TransportError):
            return self._client.get("/-/ready").status_code == 200
        return False

    def _remember(self, series: Mapping[str, float]) -> None:
        now = time.time() - _DAY_S
        lines = [
            f"{name} {value} {now + minute * 60:.0f}"
            for name, value in series.items()
            for minute in range(-30, 31)
        ]
        history = self._folder / "yesterday.txt"
        history.write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
        subprocess.run(
            [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", history, self._data],
            check=True,
            capture_output=True,
            timeout=60,
        )


def _variant(targets: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The product's configuration and rules, but for where it looks and how often."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    found["global"] = dict.fromkeys(found["global"], _INTERVAL)
    found["rule_files"] = [str(FOLDER / pattern) for pattern in found["rule_files"]]
    for job in found["scrape_configs"]:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": list(targets[job["job_name"]])}]
    return found
