"""The models on a device, which only this class holds.

The inference process and the command line use the same class, so both give the same numbers.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from app.inference import canary
from app.inference.encoded_references import References, name_of
from app.inference.task_items import Item, ResultPlace, divided, gathered
from app.inference.tasks import (
    CompareResult,
    CompareTask,
    ModelCard,
    ModelResult,
    Result,
    ScoreResult,
    ScoreTask,
    Task,
)
from models.checkpoints.metadata import Metadata
from models.loading import Model
from models.preprocessing import Pixels
from models.registry import FULL_REFERENCE
from models.runtime.backend import Encoded, Executable, OutOfMemory, Said
from models.runtime.choice import open_backend
from models.vocabulary import dimension_scores, pair_probabilities

_log = logging.getLogger("iqa.engine")


@dataclass(frozen=True)
class Tally:
    """Pixels that went through a network since the start, images only (``useful``) and with padding."""

    useful: int = 0
    padded: int = 0


@dataclass(frozen=True)
class _Slot:
    """A model on the device, and its description."""

    network: Executable
    metadata: Metadata
    card: ModelCard


class Engine:
    """Loaded models on one device.

    Args:
        sources: weights by model: "bundled", "official" or a path for each model of :mod:`models.registry` to
            load.
        device: "auto" (the first CUDA device, otherwise the CPU), "cpu", "cuda" or "cuda:N".
        dtype: "float32", "bfloat16", "float16", or "auto": bfloat16 for the models that keep to the bound of
            half precision on the canary image, together with all that share their encoder, where the device
            has it in hardware; otherwise float32.
        max_scored_pixels: what larger images are scaled down to.
        qualiclip_sha256: what QualiCLIP's official checkpoint must hash to; None for the first download's.
        allow_untrained: whether weights that say they are untrained may be loaded.
        reference_cache_bytes: how much of the device's memory may hold encoded references, for pairs that
            name theirs; of 0, none are kept. None for what suits the device.
        runtime: one of ``models.runtime.choice.RUNTIMES``.
        threads: for computation on a CPU; None for what is usual there.

    Raises:
        WeightsError: weights cannot be used; the message is one sentence.
        DeviceUnavailable: the device cannot be used.
        CanaryFailed: the models do not score the canary image as they should.
    """

    def __init__(
        self,
        sources: Mapping[str, str],
        device: str = "auto",
        dtype: str = "auto",
        max_scored_pixels: int = 2 * 2**20,
        qualiclip_sha256: str | None = None,
        allow_untrained: bool = False,
        reference_cache_bytes: int | None = None,
        runtime: str = "auto",
        threads: int | None = None,
    ) -> None:
        self._backend = open_backend(runtime, device, dtype, threads)
        wanted, capabilities = self._backend.dtype, self._backend.capabilities
        kept = capabilities.reference_bytes if reference_cache_bytes is None else reference_cache_bytes
        self.references = References(kept)
        self.max_scored_pixels = max_scored_pixels
        self.tally = Tally()
        self._slots: dict[str, _Slot] = {}
        self.expected: dict[str, float] = {}  # the canary's score by each model, as its plain modules give it
        # Only "official" is held to the pin.
        load = partial(self._backend.load, sha256=qualiclip_sha256, allow_untrained=allow_untrained)
        for name, source in sources.items():
            loaded = load(name, source)
            self.expected[name] = canary.expected_score(loaded)
            self._slots[name] = self._placed(loaded, self._backend.precision_for(loaded))
        if self._backend.automatic and wanted != "float32":
            for names in self._sharing():
                if self.dtype_of(names[0]) == "float32":
                    continue  # it is known that half is too coarse
                coarse = [name for name in names if not canary.agrees(self, name)]
                if not coarse:
                    continue
                # All that share the encoder: to encode in two precisions would cost more than float32 does.
                known, all_of_them = " and ".join(coarse), ", ".join(names)
                _log.info("%s is too coarse for %s: float32 for %s", wanted, known, all_of_them)
                for name in names:
                    self._slots[name] = self._placed(load(name, sources[name]), "float32")

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the loaded no-reference models."""
        return tuple(name for name in self._slots if name != FULL_REFERENCE)

    @property
    def runtime(self) -> str:
        """That computes: "eager" or "openvino"."""
        return self._backend.name

    @property
    def device(self) -> str:
        """That the models are on, for example "cuda:0"."""
        return self._backend.device

    @property
    def dtype_name(self) -> str:
        """The precision of inference: float32, bfloat16 or float16; of several, the lowest that is used."""
        used = {card.dtype for card in self.cards()}
        return next(iter(used - {"float32"}), "float32")

    def dtype_of(self, name: str) -> str:
        """The precision that a loaded model runs in."""
        return self._slots[name].card.dtype

    @property
    def batch_pixels(self) -> int:
        """A good number of pixels for one batch on this device, padding included."""
        return self._backend.capabilities.batch_pixels

    @property
    def pads(self) -> bool:
        """Whether images of mixed sizes share one padded tensor; else each is computed for itself."""
        return self._backend.capabilities.padded

    @property
    def memory_bytes(self) -> int:
        """Device memory that is held; on a CPU, resident memory of this process."""
        return self._backend.memory_bytes

    def cards(self) -> tuple[ModelCard, ...]:
        """What is loaded."""
        return tuple(slot.card for slot in self._slots.values())

    def score(self, tasks: Sequence[ScoreTask]) -> list[ScoreResult | Exception]:
        """Scores images without a reference; see :meth:`run`."""
        return cast(list[ScoreResult | Exception], self.run(tasks))

    def compare(self, tasks: Sequence[CompareTask]) -> list[CompareResult | Exception]:
        """Holds distorted images against their references; see :meth:`run`.

        Raises:
            ValueError: no full-reference weights are loaded.
        """
        return cast(list[CompareResult | Exception], self.run(tasks))

    def run(self, tasks: Sequence[Task]) -> list[Result | Exception]:
        """Does tasks of both kinds as one batch; a task that fails gets its exception as result.

        A result does not depend on the other tasks of the batch, whether the runtime lays their images into
        one padded tensor or computes them side by side. The caller decides which tasks form a batch
        (:mod:`app.inference.scheduling`).

        Raises:
            ValueError: there is a pair to compare, and no full-reference weights are loaded.
            OutOfMemory: the device has no memory for all of them at once.
        """
        if FULL_REFERENCE not in self._slots and any(isinstance(task, CompareTask) for task in tasks):
            raise ValueError(f"No weights of {FULL_REFERENCE} are loaded.")
        found: dict[ResultPlace, dict[str, ModelResult | Exception]] = {}
        for names in self._sharing():
            preprocessing = self._slots[names[0]].metadata.preprocessing
            fitted = partial(preprocessing.fit, max_pixels=self.max_scored_pixels)
            items = [
                item for number, task in enumerate(tasks) for item in divided(number, task, names, fitted)
            ]
            for item, results in zip(items, self._isolating(items), strict=True):
                found.setdefault(item.place, {}).update(results)
        return [gathered(number, task, found) for number, task in enumerate(tasks)]

    def _sharing(self) -> list[list[str]]:
        """Names of the loaded models, those that share an encoder together."""
        groups: dict[int, list[str]] = {}
        for name, slot in self._slots.items():
            groups.setdefault(id(slot.network.encoder), []).append(name)
        return list(groups.values())

    def _isolating(self, items: Sequence[Item]) -> list[dict[str, ModelResult | Exception]]:
        """Runs a batch; if it fails, each of its halves, so that in the end only the culprit pays."""
        if not items:
            return []
        try:
            return list(self._infer(items))
        except OutOfMemory:
            self.references.clear()  # the work comes before what only speeds it up
            raise
        except Exception as error:
            if len(items) == 1:
                return self._one_by_one(items[0], error)
            middle = len(items) // 2
            return [*self._isolating(items[:middle]), *self._isolating(items[middle:])]

    def _one_by_one(self, item: Item, error: Exception) -> list[dict[str, ModelResult | Exception]]:
        """Asks the models one by one about an image that failed when all were asked together."""
        if len(item.models) == 1:
            return [{item.models[0]: error}]
        results: dict[str, ModelResult | Exception] = {}
        for name in item.models:
            mapped = item.mapped if item.mapped == name else None
            embedded = item.embedded if item.embedded == name else None
            alone = replace(item, models=(name,), mapped=mapped, embedded=embedded)
            results |= self._isolating([alone])[0]
        return [results]

    def _infer(self, items: Sequence[Item]) -> list[dict[str, ModelResult | Exception]]:
        """What models that share an encoder say of images and pairs, each image encoded once."""
        pairs = [item for item in items if len(item.images) > 1]
        if any(pair.images[0].shape != pair.images[1].shape for pair in pairs):
            raise ValueError("A distorted image must have the size of its reference.")
        references: dict[object, Encoded] = {}
        fresh: dict[object, Pixels] = {}
        for pair in pairs:
            name = name_of(pair)
            kept = self.references.get(name)
            if kept is None:
                fresh.setdefault(name, pair.images[1])
            else:
                references[name] = kept
        # The sides of the pairs come first, each in one piece, so that a runtime need not copy them apart.
        images = {id(image): image for image in (pair.images[0] for pair in pairs)}
        images |= {id(image): image for image in fresh.values()}
        images |= {id(item.images[0]): item.images[0] for item in items}
        encoded = self._encoded(self._slots[items[0].models[0]], images, compared=bool(pairs))
        references |= {name: encoded[id(image)] for name, image in fresh.items()}
        results: list[dict[str, ModelResult | Exception]] = [{} for _ in items]
        for model in dict.fromkeys(name for item in items for name in item.models):
            places = [place for place, item in enumerate(items) if model in item.models]
            asked = [items[place] for place in places]
            slot = self._slots[model]
            rows = [encoded[id(item.images[0])] for item in asked]
            if model == FULL_REFERENCE:
                said = slot.network.compare(rows, [references[name_of(item)] for item in asked])
            else:
                mapped = [row for row, item in enumerate(asked) if item.mapped == model]
                said = slot.network.score(rows, [item.words for item in asked], mapped)
            for place, item, one in zip(places, asked, said, strict=True):
                results[place][model] = _result(slot, item, one)
        for pair in pairs:
            if pair.reference_key and name_of(pair) in fresh:
                self.references.keep(name_of(pair), references[name_of(pair)])
        return results

    def _encoded(self, slot: _Slot, images: Mapping[int, Pixels], *, compared: bool) -> dict[int, Encoded]:
        """Images of any sizes through a model's encoder, by the same keys."""
        encoder = slot.network.encoder
        before = encoder.padded_pixels
        found = encoder.encode(list(images.values()), compared=compared)
        useful = sum(image.size // 3 for image in images.values())
        self.tally = Tally(self.tally.useful + useful, self.tally.padded + encoder.padded_pixels - before)
        return dict(zip(images, found, strict=True))

    def _placed(self, loaded: Model, dtype: str) -> _Slot:
        card = _card(loaded, dtype)
        return _Slot(self._backend.place(loaded, dtype), loaded.metadata, card)


def _result(slot: _Slot, item: Item, said: Said) -> ModelResult:
    """What a model said, checked, and with what follows from it."""
    if not np.isfinite([said.score, *said.similarities]).all():
        raise ArithmeticError(f"{slot.card.name} gave a score that is not a finite number.")
    if said.local is not None and not np.isfinite(said.local).all():
        raise ArithmeticError(f"{slot.card.name} gave a quality map with a value that is not finite.")
    probabilities = pair_probabilities(np.array(said.similarities), slot.metadata.temperature)
    return ModelResult(
        score=min(1.0, max(0.0, said.score)),  # rounding may step over by an ulp
        dimensions=tuple(dimension_scores(probabilities).tolist()),
        similarities=said.similarities,
        probabilities=tuple(probabilities.tolist()),
        prompt_probabilities=said.prompt_probabilities,
        words=said.words,
        width=item.images[0].shape[1],
        height=item.images[0].shape[0],
        quality_map=said.local,
        embedding=_unit(said.embedding) if item.embedded == slot.card.name else None,
    )


def _unit(vector: NDArray[np.float32] | None) -> tuple[float, ...] | None:
    """A vector brought to length 1, so that the product of two is their cosine."""
    if vector is None:
        return None
    length = float(np.linalg.norm(vector)) or 1.0
    return tuple((vector / length).tolist())


def _card(loaded: Model, dtype: str) -> ModelCard:
    metadata, facts = loaded.metadata, loaded.facts
    return ModelCard(
        name=loaded.name,
        weights=metadata.name,
        sha256=loaded.sha256,
        license=metadata.license,
        source=metadata.source,
        training_data=metadata.training_data,
        accuracy=metadata.accuracy,
        validated_sides=metadata.validated_sides,
        text_encoder=facts.text_encoder,
        prompt_pairs=facts.prompt_pairs,
        temperature=metadata.temperature,
        preprocessing=metadata.preprocessing,
        parameters=facts.parameters,
        dtype=dtype,
        calibration=metadata.calibration,
        grades=metadata.grades,
    )
