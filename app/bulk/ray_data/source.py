"""``iqa score --ray``: the images are scored by actors of Ray Data, one for each device or for two cores.

The driver, which is this process, goes through the names and writes the rows down. Names go to the cluster in
chunks, few at a time, and answers come back. The driver knows what it has sent and what has come back:
what comes twice counts once, and what has not come back when all is done is sent again.
"""

import logging
import os
import threading
from collections.abc import Generator, Iterable
from importlib.util import find_spec
from itertools import islice
from typing import Any, Final

from app.bulk.errors import OutputError
from app.bulk.ray_data.actors import ScoreChunks, basis_of, crossing_name, named_of, read_done
from app.bulk.ray_data.feed import Feed, fed
from app.bulk.run_manifest import Basis
from app.scoring.outcomes import STANDARD_INPUT, FileName, ScoredFile
from app.settings import Settings

LOCAL: Final = "local"
"""The address of a cluster that is started here, and ends with the run."""
_CORES_OF_ACTOR: Final = 2
_CHUNK_ON_CORES: Final = 64
_CHUNK_ON_DEVICE: Final = 512
"""Images of one call: what a dead actor's successor has to score again; the pipeline is empty between two."""
_LOCAL_STORE_BYTES: Final = 256 * 2**20
_DEATHS_OF_CHUNK: Final = 20
"""So often a chunk's actor may die before the run ends: an image that kills it would do so forever."""
_ROUNDS: Final = 3


class OnRay:
    """A cluster of Ray.

    Args:
        address: of the cluster: ``local`` starts one here, ``auto`` is the one that runs here.
        settings: as for the service; `threads` are the cores of an actor.
        policy: name of the policy to judge by.
        threads: that decode, in each actor.
        detail_crops: whether tiles at native size are scored too.

    Raises:
        OutputError: Ray is missing, the cluster cannot be reached, or its machines cannot score.
    """

    server: str | None = None

    def __init__(
        self,
        address: str,
        settings: Settings,
        policy: str | None = None,
        threads: int | None = None,
        *,
        detail_crops: bool = False,
    ) -> None:
        if find_spec("ray") is None:
            raise OutputError("--ray needs the extra `ray`: pip install 'iqa-service[ray]'.")
        _connect(address)
        try:
            self._plan(settings)
            self._policy, self._detail_crops = policy, detail_crops
            self._threads = threads or (None if self._on_devices else self._cores)
            self.basis = self._basis()
        except BaseException:
            self.close()
            raise

    def score(self, paths: Iterable[FileName]) -> Generator[ScoredFile]:
        sent: dict[bytes, None] = {}
        for _ in range(_ROUNDS):
            yield from self._round(paths, sent)
            if not sent:
                return
            paths = [named_of(name) for name in sent]  # what was on machines that are gone
        raise OutputError(f"{len(sent)} images did not come back from the cluster.")

    def close(self) -> None:
        import ray

        ray.shutdown()

    def _plan(self, settings: Settings) -> None:
        """How many actors, and what each has."""
        import ray

        resources = ray.cluster_resources()
        devices = int(resources.get("GPU", 0))
        self._on_devices = devices > 0 and settings.devices[0] != "cpu"
        if self._on_devices:
            # Ray shows each actor the device that it has, and no other.
            self._actors, self._cores, self._settings = devices, 1, settings
            if settings.devices[0] != "auto":
                self._settings = settings.model_copy(update={"devices": ("cuda",)})
            return
        cores = max(1, int(resources.get("CPU", 1)))
        self._cores = min(cores, settings.threads or _CORES_OF_ACTOR)
        self._actors = max(1, cores // self._cores)
        self._settings = settings.model_copy(update={"threads": self._cores, "devices": ("cpu",)})

    def _resources(self) -> dict[str, Any]:
        return {"num_cpus": self._cores, "num_gpus": 1 if self._on_devices else 0}

    def _basis(self) -> Basis:
        import ray

        # Of its own, so that what it has loaded goes with it.
        asked = ray.remote(**self._resources(), max_calls=1)(basis_of)
        try:
            found = ray.get(asked.remote(self._settings, self._policy, self._detail_crops))
        except ray.exceptions.RayError as error:
            raise _failed(error) from error
        return Basis.model_validate_json(found)

    def _round(self, paths: Iterable[FileName], sent: dict[bytes, None]) -> Generator[ScoredFile]:
        """Sends names, and gives the results of those that were sent and have none yet."""
        import pyarrow
        import ray
        from ray.data import ActorPoolStrategy

        feed = ray.remote(num_cpus=0)(Feed).remote()
        sending = _Sending(feed, paths, sent, _CHUNK_ON_DEVICE if self._on_devices else _CHUNK_ON_CORES)
        arguments = (self._settings, self._policy, self._threads, self._detail_crops)
        first: Any = fed  # Ray knows no functions of a batch and more
        done = (
            ray.data.from_arrow(pyarrow.table({"one": [0]}))
            .map_batches(first, batch_size=None, batch_format="pyarrow", num_cpus=0, fn_kwargs={"feed": feed})
            .map_batches(
                ScoreChunks,
                batch_size=1,
                batch_format="pyarrow",
                fn_constructor_args=(*arguments, self.basis.model_dump_json()),
                compute=ActorPoolStrategy(size=self._actors),
                max_task_retries=_DEATHS_OF_CHUNK,
                **self._resources(),
            )
        )
        sending.start()
        try:
            batches: Any = done.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
            for batch in batches:
                for chunk in batch["done"].to_pylist():
                    for fields in chunk:
                        if fields["name"] in sent:  # what comes twice was of an actor that died afterwards
                            del sent[fields["name"]]
                            yield read_done(fields)
            sending.check()
        except ray.exceptions.RayError as error:
            sending.check()
            raise _failed(error) from error
        finally:
            sending.stop()


class _Sending(threading.Thread):
    """Goes through the names, and sends them in chunks as there is room for them."""

    def __init__(self, feed: Any, paths: Iterable[FileName], sent: dict[bytes, None], most: int) -> None:
        super().__init__(name="feed", daemon=True)
        self._feed, self._paths, self._sent, self._most = feed, paths, sent, most
        self._stopped = False
        self._failure: Exception | None = None

    def run(self) -> None:
        import ray

        try:
            coming = iter(self._paths)
            while not self._stopped and (
                chunk := [crossing_name(path) for path in islice(coming, self._most)]
            ):
                if crossing_name(STANDARD_INPUT) in chunk:
                    raise OutputError("--ray scores files and objects, not the standard input.")
                self._sent.update(dict.fromkeys(chunk))
                ray.get(self._feed.put.remote(chunk))
        except Exception as error:  # it is raised where the results are waited for
            self._failure = error
        finally:
            if not self._stopped:
                self._feed.close.remote()

    def check(self) -> None:
        """Raises what went wrong.

        Raises:
            Exception: what going through the names raised.
        """
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Sends no more."""
        import ray

        self._stopped = True
        ray.kill(self._feed)
        self.join()


def _connect(address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to others unasked
    os.environ.setdefault("RAY_worker_niceness", "0")  # of a local cluster: it is what the machine is to do
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # on standard error, of what is handled
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    from ray.data import DataContext

    local: dict[str, Any] = {}
    if address == LOCAL:
        local = {"include_dashboard": False, "object_store_memory": _LOCAL_STORE_BYTES}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise OutputError(f"The cluster of Ray at {address} cannot be used: {reason}.") from error
    context = DataContext.get_current()
    context.enable_progress_bars = False  # the command shows its own
    context.target_max_block_size = context.target_min_block_size = (
        1  # each chunk goes as soon as it is there
    )
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _failed(error: BaseException) -> OutputError:
    """What an actor, or the cluster, has raised, as a sentence."""
    cause: BaseException | None = error
    while cause is not None:
        error = cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return OutputError(f"The cluster cannot score: {lines[-1].rstrip('.')}.")
