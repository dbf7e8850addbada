"""The seam between the engine and what computes: a runtime brings models onto a device and asks them there.

The engine decides what is computed together, what is retried, and what is kept; it knows no tensors and no
devices. A runtime knows only these. It is added as a :class:`Backend` and a name in
:func:`models.runtime.choice.open_backend`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from models.loading import Model
from models.preprocessing import Pixels


class DeviceUnavailable(Exception):
    """The device or the precision that was asked for is not to be had; the message is one sentence."""


class OutOfMemory(Exception):
    """The device has no memory for a batch; the message is one sentence."""


@dataclass(frozen=True)
class Said:
    """What a model says of one image, or of one pair.

    Attributes:
        score: in [0, 1] but for rounding, higher is better.
        similarities: 40 cosines, in the order of ``models.vocabulary.ADJECTIVES``; empty without adjectives.
        prompt_probabilities: of the good prompt of each pair; empty without prompts.
        words: cosines with the words that were asked for; None where they could not be compared.
        local: rows of local quality in [0, 1]; None where it was not asked for.
        embedding: ``(n,)`` float32, what the model reads the score from; None of pairs.
    """

    score: float
    similarities: tuple[float, ...] = ()
    prompt_probabilities: tuple[float, ...] = ()
    words: tuple[float, ...] | None = None
    local: tuple[tuple[float, ...], ...] | None = None
    embedding: NDArray[np.float32] | None = None


class Encoded(Protocol):
    """One image after an encoder's pass."""

    @property
    def nbytes(self) -> int:
        """The memory of the device that :meth:`kept` takes."""

    def kept(self) -> Self:
        """The same, held apart from what was encoded together with it."""


class Encoder(Protocol):
    """An encoder on the device, which models share whose encoders are equal."""

    padded_pixels: int
    """Pixels computed so far, padding included."""

    def encode(self, images: Sequence[Pixels], *, compared: bool = False) -> Sequence[Encoded]:
        """Encodes images of any sizes.

        Args:
            images: of which none is needed any more when it returns.
            compared: whether some of them are compared with one another.

        Raises:
            OutOfMemory: there is no memory for all of them at once.
        """


class Executable(Protocol):
    """A model on the device.

    Attributes:
        encoder: what it sees images through.
    """

    @property
    def encoder(self) -> Encoder: ...

    def score(
        self,
        images: Sequence[Any],
        words: Sequence[Sequence[str]],
        mapped: Sequence[int],
    ) -> list[Said]:
        """What the model says of single images.

        Args:
            images: what :attr:`encoder` made of them.
            words: adjectives beyond the 40, for each image.
            mapped: which images' local quality is wanted.

        Raises:
            OutOfMemory: there is no memory for all of them at once.
        """

    def compare(self, distorted: Sequence[Any], references: Sequence[Any]) -> list[Said]:
        """What a full-reference model says of pairs of one size each; otherwise as :meth:`score`."""


@dataclass(frozen=True)
class Capabilities:
    """What a runtime is good at; batches are formed by it.

    Attributes:
        batch_pixels: a good number of pixels for one batch, padding included.
        reference_bytes: a good amount of the device's memory for encoded references.
        padded: whether images of mixed sizes lie in one padded tensor; otherwise each is computed for itself.
    """

    batch_pixels: int
    reference_bytes: int
    padded: bool = True


class Backend(Protocol):
    """A runtime on one device.

    Attributes:
        name: of the runtime.
        device: as people name it, for example "cpu" or "cuda:0".
        dtype: precision of inference, unless a model is placed in another.
        automatic: whether the precision was the runtime's choice.
        capabilities: of the runtime on this device.
    """

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def automatic(self) -> bool: ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def memory_bytes(self) -> int:
        """Memory of the device that is held; on a CPU, resident memory of this process."""

    def load(
        self, name: str, source: str, *, sha256: str | None = None, allow_untrained: bool = False
    ) -> Model:
        """A model from its source, as far as it is needed here; arguments as of :func:`models.load_model`.

        Raises:
            WeightsError: the weights cannot be found, fetched or used; the message is one sentence.
        """

    def precision_for(self, loaded: Model) -> str:
        """What a model is placed in at first: `dtype`, unless that is known to be too coarse for it."""

    def place(self, loaded: Model, dtype: str) -> Executable:
        """Brings a model onto the device; it takes over the model's module.

        Raises:
            WeightsError: they cannot be prepared for it in this installation.
        """
