"""Measures how near duplicates are grouped, and whether the original is the one that is kept.

    python -m tests.benchmarks.picking PHOTOS [--groups 30] [--many 2000] [--all]

PHOTOS is a folder of good photographs; only those that training holds out are used, without ``--all``. Prints
four parts: groups that are made of photographs (the original with 2 to 5 of its copies, crops and edits),
whether any two of the photographs are merged, the same of pictures that are hard to tell apart (pages of
text, night skies, textures, parts of one photograph), and the time for many pictures beyond their scoring.
"""

import argparse
import io
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from app.picking.grouping import find_groups
from app.picking.look import LumaThumb, luma_thumb
from app.scoring.offline import Scorer
from app.scoring.picks import AnsweredImage, pick_best
from app.settings import Settings
from models.training.photos import is_held_out

Pixels = NDArray[np.uint8]

_ORIGINALS: Final = ("original", "lossless")
_HARD: Final = 40  # of each kind
_SIZE: Final = (640, 480)


def exposed(pixels: Pixels, stops: float) -> Pixels:
    """Pixels with their linear light times two to the power of `stops`."""
    linear = (pixels / 255) ** 2.2 * 2.0**stops
    return np.rint(255 * linear.clip(0, 1) ** (1 / 2.2)).astype(np.uint8)


def encoded(pixels: Pixels | Image.Image, quality: int | None) -> bytes:
    """A JPEG file; a PNG file without a quality."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, **({"format": "PNG"} if quality is None else {"format": "JPEG", "quality": quality}))
    return file.getvalue()


def variants(data: bytes, rng: random.Random) -> dict[str, Callable[[], bytes]]:
    """By its name, what makes each variant of an image file."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    pixels = np.asarray(image)
    width, height = image.size

    def crop(share: float) -> Image.Image:
        size = round(share * width), round(share * height)
        left, top = rng.randint(0, width - size[0]), rng.randint(0, height - size[1])
        return image.crop((left, top, left + size[0], top + size[1]))

    def noisy(deviation: float) -> Pixels:
        noise = np.random.default_rng(rng.randrange(2**32)).normal(0, deviation, pixels.shape)
        return np.rint(pixels + noise).clip(0, 255).astype(np.uint8)

    def resized(scale: float) -> Image.Image:
        return image.resize((round(scale * width), round(scale * height)), Image.Resampling.LANCZOS)

    return {
        "lossless": lambda: encoded(image, None),
        "encoded again": lambda: encoded(image, rng.randint(25, 70)),
        "smaller": lambda: encoded(resized(rng.uniform(0.4, 0.8)), 85),
        "slightly cropped": lambda: encoded(crop(rng.uniform(0.88, 0.97)), 90),
        "cropped": lambda: encoded(crop(rng.uniform(0.72, 0.88)), 90),
        "brighter": lambda: encoded(exposed(pixels, rng.uniform(0.4, 1.2)), 90),
        "darker": lambda: encoded(exposed(pixels, -rng.uniform(0.4, 1.2)), 90),
        "blurred": lambda: encoded(image.filter(ImageFilter.GaussianBlur(rng.uniform(1, 4))), 90),
        "noisy": lambda: encoded(noisy(rng.uniform(8, 25)), 90),
    }


def measure_groups(paths: Sequence[Path], count: int, rng: random.Random, enlarged: bool) -> None:
    """Prints how many groups are found whole, and of how many the original is kept."""
    made: list[tuple[int, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, path in enumerate(paths[:count]):
            data = path.read_bytes()
            kinds = variants(data, rng)
            named = {"original": data}
            named |= {kind: kinds[kind]() for kind in rng.sample(sorted(kinds), rng.randint(2, 5))}
            if enlarged:
                image = Image.open(io.BytesIO(data)).convert("RGB")
                named["enlarged"] = encoded(image.resize((2 * image.width, 2 * image.height)), 90)
            for kind, content in named.items():
                files.append(Path(folder, f"{len(files):05}"))
                files[-1].write_bytes(content)
                made.append((number, kind))
        scored = list(Scorer(Settings(models=("bpclip",)), looks=True).score(files))
    seen = [AnsweredImage(each.answer, each.look) for each in scored if each.answer and each.look is not None]
    assert len(seen) == len(files), [each.problem for each in scored if each.problem]
    groups = pick_best(seen)
    largest: dict[int, tuple[int, str]] = {}
    kept: dict[int, list[str]] = {}
    merged = 0
    for group in groups:
        sources = Counter(made[member][0] for member in group.members)
        merged += len(sources) > 1
        source = made[group.members[0]][0]
        kept.setdefault(source, []).append(made[group.keep][1])
        largest[source] = max(largest.get(source, (0, "")), (len(group.members), made[group.keep][1]))
    sizes = Counter(number for number, _ in made)
    originals = [kind in _ORIGINALS for _, kind in largest.values()]
    whole = sum(largest[source][0] == size for source, size in sizes.items())
    print(f"{len(sizes)} groups of {len(made)} files{', an enlarged copy in each' if enlarged else ''}:")
    print(f"  {whole} found whole, {merged} groups with several scenes, original kept in {sum(originals)}")
    wrong = Counter(kind for _, kind in largest.values() if kind not in _ORIGINALS)
    print(f"  kept instead: {dict(wrong)}")
    alone = Counter(kind for kinds in kept.values() if len(kinds) > 1 for kind in kinds)
    print(f"  of the groups that are not whole, kept: {dict(alone)}")


def measure_merges(what: str, looks: Sequence[LumaThumb], names: Sequence[str]) -> None:
    """Prints which pictures of different scenes are in one group."""
    merged = [group for group in find_groups(looks, [None] * len(looks), threads=2) if len(group) > 1]
    print(f"{what}: {len(looks)} pictures, {len(looks) * (len(looks) - 1) // 2} pairs, {len(merged)} merged")
    for group in merged:
        print("  ", *(names[number] for number in group))


def pages(rng: random.Random) -> Iterator[Image.Image]:
    """Pages of one layout with different words."""
    while True:
        page = Image.new("RGB", _SIZE, "white")
        draw = ImageDraw.Draw(page)
        draw.text((40, 20), _words(rng, 30), "black", font_size=24)
        for line in range(24):
            draw.text((40, 64 + 16 * line), _words(rng, 84), "black", font_size=13)
        yield page


def skies(rng: random.Random) -> Iterator[Image.Image]:
    """Stars over one dark gradient."""
    shade = np.linspace(8, 40, _SIZE[1])[:, None] * np.ones((1, _SIZE[0]))
    while True:
        noise = np.random.default_rng(rng.randrange(2**32))
        sky = Image.fromarray((shade + noise.normal(0, 3, shade.shape)).clip(0, 255).astype(np.uint8))
        draw = ImageDraw.Draw(sky)
        for _ in range(rng.randint(60, 200)):
            x, y, size = rng.uniform(0, _SIZE[0]), rng.uniform(0, _SIZE[1]), rng.choice((0.5, 1, 1, 2))
            draw.ellipse((x - size, y - size, x + size, y + size), rng.randint(90, 255))
        yield sky.convert("RGB")


def textures(rng: random.Random) -> Iterator[Image.Image]:
    """Bricks: the same joints, other stones."""
    while True:
        wall = Image.new("RGB", _SIZE, (170, 165, 160))
        draw = ImageDraw.Draw(wall)
        for row in range(16):
            for column in range(-1, 11):
                left, top = 64 * column + 32 * (row % 2), 30 * row
                red = rng.randint(130, 170)
                draw.rectangle((left + 2, top + 2, left + 61, top + 27), (red, red * 6 // 10, red // 2))
        yield wall


def parts(photographs: Sequence[Path]) -> Iterator[Image.Image]:
    """Left and right of photographs, without an overlap."""
    for path in photographs:
        image = Image.open(path).convert("RGB")
        middle = image.width // 2
        yield image.crop((0, 0, middle, image.height))
        yield image.crop((middle, 0, image.width, image.height))


def measure_time(looks: Sequence[LumaThumb], count: int, threads: int) -> None:
    """Prints the time that many pictures take: every fourth has a near duplicate, each its own noise."""
    noise = np.random.default_rng(1)
    many = [looks[number % len(looks)] for number in range(count)]
    noisy = [
        LumaThumb(
            np.roll(each.luma, 3 * (number // len(looks)), 1)
            + noise.integers(0, 4, each.luma.shape, np.uint8)
        )
        for number, each in enumerate(many)
    ]
    began, worked = time.monotonic(), time.process_time()
    groups = find_groups(noisy, [None] * count, threads=threads)
    print(
        f"{count} pictures, {len(groups)} groups: {time.monotonic() - began:.0f} s with {threads} threads, "
        f"{time.process_time() - worked:.0f} s of processor"
    )


def _words(rng: random.Random, letters: int) -> str:
    text = ""
    while len(text) < letters:
        text += "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) + " "
    return text[:letters]


def _taken(pictures: Iterator[Image.Image], count: int) -> list[LumaThumb]:
    return [luma_thumb(np.asarray(picture)) for picture, _ in zip(pictures, range(count), strict=False)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder of photographs")
    parser.add_argument("--groups", type=int, default=30, help="to make")
    parser.add_argument("--many", type=int, default=2000, help="pictures whose time is measured; 0 for none")
    parser.add_argument("--threads", type=int, default=2, help="that compare them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="also photographs that training does not hold out")
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)
    paths = [
        path
        for path in sorted(options.photos.iterdir())
        if path.suffix in (".jpg", ".png") and (options.all or is_held_out(path.name))
    ]
    rng.shuffle(paths)
    for enlarged in (False, True):
        measure_groups(paths, options.groups, rng, enlarged)
    looks = [luma_thumb(np.asarray(Image.open(path).convert("RGB"))) for path in paths]
    measure_merges("photographs", looks, [path.name for path in paths])
    for kind in (pages, skies, textures):
        hard = _taken(kind(rng), _HARD)
        measure_merges(kind.__name__, hard, [str(number) for number in range(len(hard))])
    halves = _taken(parts(paths), 4 * _HARD)
    measure_merges("halves of photographs", halves, [str(number) for number in range(len(halves))])
    if options.many:
        measure_time(looks, options.many, options.threads)


if __name__ == "__main__":
    main()
