"""ColorVideoVDP by its authors' package: which way it goes, and how far."""

import numpy as np
import pytest

from models.measures.cvvdp import cvvdp
from models.measures.published import measure_published
from tests.photographs import named

pytestmark = pytest.mark.process  # a library that the package loads asks ldconfig


def test_it_falls_with_the_distortion_from_ten() -> None:
    reference = named()["chelsea"][:160, :200]
    noise = np.random.default_rng(1).normal(0, 1, reference.shape)
    values = [
        cvvdp(reference, (reference + sigma * noise).clip(0, 255).astype(np.uint8)) for sigma in (0, 5, 40)
    ]
    assert values[0] == pytest.approx(10)
    assert 10 > values[1] > values[2] + 1


def test_pictures_come_reference_first_and_any_size_will_do() -> None:
    reference = named()["chelsea"][:32, :33]
    distorted = reference // 32 * 32
    assert measure_published(("cvvdp",), reference, distorted) == {"cvvdp": cvvdp(reference, distorted)}
    assert 0 < cvvdp(reference, distorted) < 9.9
