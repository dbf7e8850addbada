"""What scores the files: the models in this process, or a server.

Neither needs the other's libraries: to ask a server, torch is not loaded.
"""

import contextlib
import sys
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from app.bulk.errors import OutputError
from app.bulk.rows import weights_of
from app.bulk.run_manifest import Applied, Basis, Used
from app.fetching.bucket_files import Brought
from app.schemas.policies import LoadedPolicy
from app.schemas.score import UntimedScore
from app.scoring.outcomes import STANDARD_INPUT, FileName, ScoredFile
from app.settings import Settings

SERVER_CONCURRENCY: Final = 8
"""Requests at a time, which keep a server of some cores busy."""


class Source(Protocol):
    """Scores files: the models in this process, or a server."""

    @property
    def basis(self) -> Basis:
        """What the scores depend on."""
        ...

    @property
    def server(self) -> str | None:
        """The address of the server that is asked; None where none is."""
        ...

    def score(self, paths: Iterable[FileName]) -> Generator[ScoredFile]:
        """Scores files; one that fails stops nothing.

        Raises:
            Exception: no further file can be scored.
        """
        ...

    def close(self) -> None:
        """Lets go of what it holds."""
        ...


class InProcess:
    """The models of the settings, in this process; files are done in their order.

    Args:
        settings: as for the service.
        policy: name of the policy to judge by.
        threads: that decode; by the settings where it is None.
        detail_crops: whether tiles at native size are scored too.

    Raises:
        PoliciesError: the policy cannot be applied, or the file of policies is not usable.
        Exception: what :class:`app.scoring.offline.Scorer` raises.
    """

    server: str | None = None

    def __init__(
        self,
        settings: Settings,
        policy: str | None = None,
        threads: int | None = None,
        *,
        detail_crops: bool = False,
    ) -> None:
        from app import policies

        models = settings.models
        self._policy = None
        if policy is not None:  # before the models are loaded, which takes longer
            known = policies.load(settings.policies_file)
            self._policy = policies.choose(policy, known, models, models)
        from app.scoring.offline import Scorer

        self._scorer = Scorer(settings, detail_crops=detail_crops)
        self._threads = threads
        cards = {card.name: card for card in self._scorer.engine.cards()}
        used = tuple(
            Used(
                name=name,
                weights=card.weights,
                sha256=card.sha256,
                license=card.license,
                dtype=card.dtype,
                calibration=card.calibration,
            )
            for name in self._scorer.models
            if (card := cards[name])
        )
        applied = None
        if self._policy is not None:
            applied = _applied(policies.described(self._policy, models, {}))
        self.basis = Basis(
            models=used,
            max_scored_pixels=self._scorer.engine.max_scored_pixels,
            policy=applied,
            detail_crops=detail_crops,
        )

    def score(self, paths: Iterable[FileName | Brought]) -> Generator[ScoredFile]:
        from app.policies import with_verdict

        with contextlib.closing(self._scorer.score(paths, threads=self._threads)) as results:
            for scored in results:
                if self._policy is not None and scored.answer is not None:
                    scored = ScoredFile(scored.path, with_verdict(self._policy, scored.answer))
                yield scored

    def close(self) -> None:
        pass


class Remote:
    """A server; files are done as its answers come.

    Args:
        url: of the server.
        key: for it, where it wants one.
        models: to ask; None for all that it has.
        policy: name of its policy to judge by.
        concurrency: requests at a time.
        patience_s: how long it may answer nothing before it is given up.
        detail_crops: whether tiles at native size are scored too.

    Raises:
        ClientError: it cannot be asked.
        OutputError: it has no such policy or model.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        models: Sequence[str] | None,
        policy: str | None,
        concurrency: int,
        patience_s: float,
        detail_crops: bool = False,
    ) -> None:
        from app.client import Client

        self._client = Client(url, key=key, patience_s=patience_s)
        self._concurrency = concurrency
        self._policy = policy
        self._detail_crops = detail_crops
        try:
            self.server = self._client.url
            self.basis = self._basis(models)
        except BaseException:
            self._client.close()
            raise
        self._models = self.basis.names
        self._weights = {model.name: model.sha256 for model in self.basis.models}

    def score(self, paths: Iterable[FileName]) -> Generator[ScoredFile]:
        results = self._client.score_many(
            (
                sys.stdin.buffer if path == STANDARD_INPUT else path
                for path in paths
                if isinstance(path, Path)  # the command takes no others
            ),
            concurrency=self._concurrency,
            models=self._models,
            policy=self._policy,
            detail_crops=self._detail_crops,
        )
        with contextlib.closing(results):
            for scored in results:
                path = scored.image if isinstance(scored.image, Path) else STANDARD_INPUT
                if scored.problem is not None:
                    yield ScoredFile(path, None, scored.problem.detail)
                elif scored.answer is not None:
                    self._check(scored.answer)
                    yield ScoredFile(path, scored.answer)

    def close(self) -> None:
        self._client.close()

    def _basis(self, wanted: Sequence[str] | None) -> Basis:
        loaded = self._client.models()
        models = {model.name: model for model in loaded.models if model.kind == "no-reference"}
        names = tuple(models) if wanted is None else tuple(wanted)
        for name in names:
            if name not in models:
                raise OutputError(f"The server has not loaded {name}; it has {', '.join(models)}.")
        return Basis(
            models=tuple(
                Used(
                    name=name,
                    weights=models[name].weights.name,
                    sha256=models[name].weights.sha256,
                    license=models[name].weights.license,
                    dtype=models[name].dtype,
                    calibration=models[name].calibration,
                )
                for name in names
            ),
            max_scored_pixels=loaded.limits.max_scored_pixels,
            policy=None if self._policy is None else _applied(self._find_policy(self._policy)),
            detail_crops=self._detail_crops,
        )

    def _find_policy(self, name: str) -> LoadedPolicy:
        known = {policy.name: policy for policy in self._client.policies().policies}
        if name not in known:
            there_are = f"it has {', '.join(known)}" if known else "it has none"
            raise OutputError(f"The server knows no policy {name}; {there_are}.")
        return known[name]

    def _check(self, answer: UntimedScore) -> None:
        if weights_of(answer) != self._weights:
            raise OutputError("The server has other weights than when this began.")


def _applied(policy: LoadedPolicy) -> Applied:
    # Its warnings are about the weights, which stand beside it; what scores files compares with no reference.
    of_pairs = {"needs_reference", "grade", "misaligned", "comparisons"}
    definition = policy.model_dump(mode="json", exclude={"warnings", *of_pairs})
    return Applied(name=policy.name, description=policy.description or "", definition=definition)
