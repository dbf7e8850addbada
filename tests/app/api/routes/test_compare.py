"""POST /compare on a running server."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage.metrics import peak_signal_noise_ratio

from app.schemas.measured.pair_measures import MEASURES_OF_FILES, PUBLISHED_MEASURES
from models.measures.difference import NOTICEABLE
from models.measures.mdsi import mdsi
from models.measures.vsi import vsi
from models.vocabulary import DIMENSIONS, WORDS
from tests.app.files import encoded
from tests.app.problems import is_problem
from tests.app.running import metric
from tests.photographs import named

pytestmark = pytest.mark.process

VERDICTS = 'iqa_verdicts_total{outcome="review",policy="close"}'
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
    assert answer["signal"]["displacement"] is None
    assert answer["grade"] is None  # these weights have no steps


def test_a_summary_says_what_is_acted_on_in_a_kilobyte(client: httpx.Client) -> None:
    files = _files(encoded(COFFEE, "PNG"), encoded(BLURRED, "PNG"))
    full = client.post("/compare", files=files).json()
    response = client.post("/compare?detail=summary", files=files)
    brief = response.json()
    assert len(response.content) < 1024
    assert brief["score"] == pytest.approx(full["score"], abs=1e-4)
    for name in ("grade", "signal", "resized_from", "warnings"):
        assert brief[name] == full[name]
    for side in ("reference", "distorted"):
        assert brief[side]["sha256"] == full[side]["image"]["sha256"]
        for name in ("model", "reading", "percentile", "summary", "embedding"):
            assert brief[side][name] == full[side][name]


def test_both_images_have_an_embedding_where_it_is_asked_for(client: httpx.Client) -> None:
    files = _files(encoded(COFFEE, "PNG"), encoded(BLURRED, "PNG"))
    assert client.post("/compare", files=files).json()["reference"]["embedding"] is None
    alone = client.post("/score?embedding=true", content=files["distorted"]).json()["embedding"]
    for query in ("embedding=true", "embedding=true&detail=summary"):
        answer = client.post(f"/compare?{query}", files=files).json()
        assert answer["distorted"]["embedding"]["values"] == pytest.approx(alone["values"], abs=1e-4)
        assert answer["reference"]["embedding"]["model"] == alone["model"]


def test_further_measures_are_given_where_they_are_asked_for(client: httpx.Client) -> None:
    files = _files(encoded(COFFEE, "PNG"), encoded(BLURRED, "PNG"))
    plain = client.post("/compare", files=files).json()["signal"]
    assert [plain[name] for name in PUBLISHED_MEASURES] == [None] * 4
    some = client.post("/compare?measures=vsi, mdsi", files=files).json()["signal"]
    assert (some["ms_ssim"], some["haarpsi"]) == (None, None)
    assert (some["vsi"], some["mdsi"]) == (
        pytest.approx(vsi(COFFEE, BLURRED)),
        pytest.approx(mdsi(COFFEE, BLURRED)),
    )
    found = client.post(f"/compare?measures={','.join(PUBLISHED_MEASURES)}", files=files).json()["signal"]
    assert found == {**some, **{name: found[name] for name in ("ms_ssim", "haarpsi")}}
    assert 0 < found["ms_ssim"] < 1
    assert 0 < found["haarpsi"] < 1
    resized = {**files, "distorted": encoded(BLURRED[:150, :300], "PNG")}
    answer = client.post("/compare?measures=haarpsi&resize=reference", files=resized).json()
    assert 0 < answer["signal"]["haarpsi"] < 1
    small = _files(encoded(COFFEE[:100, :100], "PNG"), encoded(BLURRED[:100, :100], "PNG"))
    assert client.post("/compare?measures=ms_ssim", files=small).json()["signal"]["ms_ssim"] is None
    body = is_problem(client.post("/compare?measures=vmaf", files=files), 422, "invalid-parameter")
    assert body["known"] == list(PUBLISHED_MEASURES)


def test_the_map_of_differences_has_numbers_and_a_picture(client: httpx.Client) -> None:
    half = COFFEE.copy()
    half[:, 304:] = BLURRED[:, 304:]
    files = _files(encoded(COFFEE, "PNG"), encoded(half, "PNG"))
    assert client.post("/compare", files=files).json()["difference_map"] is None
    answer = client.post("/compare?difference_map=true&detail=summary", files=files).json()
    found = answer["difference_map"]
    values = np.array(found["values"])
    assert values.shape == (found["height"], found["width"]) == (16, 24)  # of 384 x 256
    assert found["noticeable"] == pytest.approx((values >= NOTICEABLE).mean(), abs=0.01)
    assert values[:, 13:].mean() > 10 * values[:, :12].mean()

    response = client.post("/compare/map", files=files)
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    with Image.open(io.BytesIO(response.content)) as image:
        assert image.size == (384, 256)
        picture = np.asarray(image)
    assert len(np.unique(picture[:200, :150].reshape(-1, 3), axis=0)) > 1  # the photograph, greyed
    yellow = picture[..., 0].astype(int) - picture[..., 2]
    assert yellow[:200, 230:].max() > yellow[:200, :150].max() + 30


def test_a_map_needs_no_model_and_refuses_what_a_comparison_does(client: httpx.Client) -> None:
    files = _files(encoded(COFFEE, "PNG"), encoded(BLURRED[:200, :300], "PNG"))
    is_problem(client.post("/compare/map", files=files), 422, "size-mismatch")
    assert client.post("/compare/map?resize=reference", files=files).status_code == 200
    is_problem(client.post("/compare/map?models=bpclip", files=files), 422, "invalid-parameter")
    is_problem(client.post("/compare/map", content=files["reference"]), 400, "malformed-request")


def test_a_comparison_is_judged_by_a_policy(remembering: httpx.Client) -> None:
    same, blurred = encoded(COFFEE[:160, :200], "PNG"), encoded(BLURRED[:160, :200], "PNG")
    answer = remembering.post("/compare?policy=close", files=_files(same, same)).json()
    assert answer["verdict"] == {"policy": "close", "outcome": "pass", "reasons": []}
    before = metric(remembering, VERDICTS)
    for query in ("policy=close", "policy=close&detail=summary"):
        response = remembering.post(f"/compare?{query}", files=_files(same, blurred))
        answer = response.json()
        (reason,) = answer["verdict"]["reasons"]
        assert (answer["verdict"]["outcome"], reason["comparison"]) == ("review", "psnr_db")
        assert (reason["value"], reason["limit"]) == (answer["signal"]["psnr_db"], 60)
        assert reason["message"] == "Too far apart."
        assert answer["signal"]["mdsi"] > 0  # which is limited
    assert response.headers["x-cache"] == "hit"  # what is remembered serves every policy
    assert metric(remembering, VERDICTS) == before + 2
    assert remembering.post("/compare", files=_files(same, blurred)).json()["verdict"] is None


def test_policies_of_single_images_are_about_the_copy_and_the_others_not_for_score(
    remembering: httpx.Client,
) -> None:
    picture = encoded(COFFEE[:160, :200], "PNG")
    compared = remembering.post("/compare?policy=nothing", files=_files(picture, picture)).json()
    alone = remembering.post("/score?policy=nothing", content=picture).json()
    assert [reason["message"] for reason in compared["verdict"]["reasons"]] == [
        reason["message"] for reason in alone["verdict"]["reasons"]
    ]
    body = is_problem(remembering.post("/score?policy=close", content=picture), 422, "invalid-parameter")
    assert "compares an image with its reference" in str(body["detail"])
    (policy,) = (each for each in remembering.get("/policies").json()["policies"] if each["name"] == "close")
    assert policy["needs_reference"] is True
    assert [each["measure"] for each in policy["comparisons"]] == ["psnr_db", "score", "mdsi"]


def test_grades_cannot_be_limited_without_their_steps(client: httpx.Client, photo: bytes) -> None:
    response = client.post("/compare?policy=transcode", files=_files(photo, photo))
    assert "no steps for grades" in str(is_problem(response, 422, "invalid-parameter")["detail"])


def test_a_misaligned_frame_is_called_so(client: httpx.Client) -> None:
    reference, moved = encoded(COFFEE[8:380, 8:580], "PNG"), encoded(COFFEE[4:376, 11:583], "PNG")
    answer = client.post("/compare", files=_files(reference, moved)).json()
    found = answer["signal"]["displacement"]
    assert (found["x"], found["y"], found["scale"]) == (
        pytest.approx(-3, abs=0.5),
        pytest.approx(4, abs=0.5),
        1,
    )
    (warning,) = (each for each in answer["warnings"] if each.startswith("misaligned: "))
    assert "3.0 pixels to the left and 4.0 pixels down" in warning


def test_identical_images(client: httpx.Client, photo: bytes) -> None:
    answer = client.post("/compare", files=_files(photo, photo)).json()
    unasked = dict.fromkeys(MEASURES_OF_FILES)
    assert answer["signal"] == {"psnr_db": None, "ssim": pytest.approx(1), "displacement": None, **unasked}
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
