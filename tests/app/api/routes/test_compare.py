"""POST /compare on a running server."""

import httpx
import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage.metrics import peak_signal_noise_ratio

from models.vocabulary import DIMENSIONS, WORDS
from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.photographs import named

pytestmark = pytest.mark.process

COFFEE = named()["coffee"]
BLURRED = np.asarray(Image.fromarray(COFFEE).filter(ImageFilter.GaussianBlur(3)))


def _files(reference: bytes, distorted: bytes) -> dict[str, bytes]:
    return {"reference": reference, "distorted": distorted}


def test_the_answer_has_the_shape_of_the_contract(client: httpx.Client) -> None:
    files = _files(encoded(COFFEE, "PNG"), encoded(BLURRED, "PNG"))
    response = client.post("/compare", files=files)
    assert response.status_code == 200
    answer = response.json()
    assert answer["model"] == "bpclip"
    assert list(answer["models"]) == ["bpclip"]
    assert answer["models"]["bpclip"]["weights"]["name"] == "bpclip-fr-tiny"
    assert answer["score"] == answer["models"]["bpclip"]["score"]
    assert answer["dimensions"] == answer["models"]["bpclip"]["dimensions"]
    assert answer["resized_from"] is None
    assert answer["batch"] == {"images": 1}
    assert set(answer["timing_ms"]) == {"decode", "queue", "inference", "total"}

    alone = client.post("/score", content=files["distorted"]).json()
    assert set(answer["distorted"]) == set(alone) - {"timing_ms"}
    assert answer["distorted"]["image"] == alone["image"]
    assert answer["distorted"]["score"] == pytest.approx(alone["score"], abs=1e-4)

    differences = answer["differences"]
    assert differences["model"] == "bpclip"
    assert differences["score"] == pytest.approx(answer["distorted"]["score"] - answer["reference"]["score"])
    assert [adjective["adjective"] for adjective in differences["adjectives"]] == list(WORDS)
    before, after = (answer[side]["models"]["bpclip"]["adjectives"][1] for side in ("reference", "distorted"))
    assert differences["adjectives"][1]["similarity"] == pytest.approx(
        after["similarity"] - before["similarity"]
    )
    assert differences["dimensions"]["contrast"] == pytest.approx(
        answer["distorted"]["dimensions"]["contrast"] - answer["reference"]["dimensions"]["contrast"]
    )

    assert answer["signal"]["psnr_db"] == pytest.approx(peak_signal_noise_ratio(COFFEE, BLURRED))
    assert 0 < answer["signal"]["ssim"] < 1


def test_identical_images(client: httpx.Client, photo: bytes) -> None:
    answer = client.post("/compare", files=_files(photo, photo)).json()
    assert answer["signal"] == {"psnr_db": None, "ssim": pytest.approx(1)}
    # One batch, but two places in it: the last bits may differ.
    differences = answer["differences"]
    assert differences["score"] == pytest.approx(0, abs=1e-6)
    assert differences["dimensions"] == {name: pytest.approx(0, abs=1e-5) for name in DIMENSIONS}
    for name, model in answer["reference"]["models"].items():
        other = answer["distorted"]["models"][name]
        assert model["score"] == pytest.approx(other["score"], abs=1e-6)
        assert (model["scored"], model["weights"]) == (other["scored"], other["weights"])


def test_models_chooses_the_no_reference_ones(client: httpx.Client, photo: bytes) -> None:
    answer = client.post("/compare?models=qualiclip", files=_files(photo, photo)).json()
    assert answer["model"] == "bpclip"
    assert list(answer["reference"]["models"]) == ["qualiclip"]
    assert answer["differences"]["model"] == "qualiclip"


def test_sizes_must_agree_or_be_made_to(client: httpx.Client) -> None:
    files = _files(encoded(COFFEE, "PNG"), encoded(BLURRED[:200, :300], "PNG"))
    body = is_problem(client.post("/compare", files=files), 422, "size-mismatch")
    assert body["reference"] == {"width": 600, "height": 400}
    assert body["distorted"] == {"width": 300, "height": 200}

    answer = client.post("/compare?resize=reference", files=files).json()
    assert answer["resized_from"] == {"width": 300, "height": 200}
    assert answer["warnings"][0].startswith("resized:")
    assert answer["distorted"]["image"]["width"] == 300
    is_problem(client.post("/compare?resize=distorted", files=files), 422, "invalid-parameter")


def test_a_turned_reference_is_a_mismatch(client: httpx.Client) -> None:
    upright, turned = encoded(COFFEE, "PNG"), encoded(np.rot90(COFFEE), "PNG")
    is_problem(client.post("/compare", files=_files(upright, turned)), 422, "size-mismatch")


def test_the_file_at_fault_is_named(client: httpx.Client, photo: bytes) -> None:
    response = client.post("/compare", files=_files(photo, photo[:2000]))
    assert is_problem(response, 422, "invalid-image")["field"] == "distorted"
    response = client.post("/compare", files=_files(b"text", photo))
    assert is_problem(response, 415, "unsupported-media-type")["field"] == "reference"


def test_both_files_are_needed(client: httpx.Client, photo: bytes) -> None:
    is_problem(client.post("/compare", files={"reference": photo}), 400, "malformed-request")
    is_problem(client.post("/compare", content=photo), 400, "malformed-request")
