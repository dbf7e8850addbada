"""The page in Firefox: what it needs of a browser is there, from the examples to the map of differences."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.web.firefox import FIREFOX, Firefox, firefox

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    if not FIREFOX.exists():
        pytest.skip("the page is tested in Firefox, which is not installed (Debian's package firefox-esr)")
    with firefox(tmp_path_factory.mktemp("profile")) as started:
        yield started


def _text(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})?.textContent"


def _click(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)}).click()"


def test_an_example_is_scored_and_its_map_is_drawn(browser: Firefox, url: str) -> None:
    browser.open(url)
    browser.wait("document.querySelectorAll('.example img[src]').length === 4")
    browser.run(_click("[data-example=blurred]"))
    assert browser.wait(_text("#solo [data-part=standing]")).endswith(" of 100")
    assert browser.run(_text("#solo .file-name")) == "coffee-blurred.jpg"
    browser.run(_click("#detail-map"))
    assert browser.run("document.querySelector('#solo canvas').width") > 100
    assert browser.run("document.querySelector('#solo canvas').hidden") is False
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert browser.run(fits) is True


def test_chosen_files_are_a_set_with_thumbnails(
    browser: Firefox, url: str, photographs: dict[str, bytes], tmp_path: Path
) -> None:
    files = [tmp_path / name for name in photographs]
    for file in files:
        file.write_bytes(photographs[file.name])
    browser.open(url)
    browser.choose_files("#files", *files)
    browser.wait(f"{_text('#counts')} === '3 of 3 scored'")
    browser.wait("document.querySelectorAll('#cards img[src]').length === 3")
    browser.run(_click("#worst"))
    scores = "[...document.querySelectorAll('#cards [data-part=score]')].map(each => each.value).join(' ')"
    browser.wait("document.querySelector('#worst').ariaPressed === 'true'")
    shown = [float(score) for score in browser.run(scores).split()]
    assert shown == sorted(shown)
    browser.run(_click("#cards .picture"))
    assert browser.run("document.querySelector('#detail').open") is True


def test_an_example_pair_is_compared_with_a_map_of_differences(browser: Firefox, url: str) -> None:
    browser.open(f"{url}#compare")
    browser.run(_click("#pair"))
    browser.wait(_text("#compare-score"))
    browser.wait("document.querySelector('#difference').checked")
    painted = """(() => {
        const canvas = document.querySelector('.viewer canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.filter((value, i) => i % 4 === 3 && value > 0).length / (canvas.width * canvas.height);
    })()"""
    assert 0.2 < browser.run(painted) < 1
