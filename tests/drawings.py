"""Pictures that are no photographs, drawn by code: pages, windows, charts, drawings, slides, renderings."""

import io
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

_FONTS: Final = Path(matplotlib.get_data_path()) / "fonts/ttf"
_PROSE: Final = ("DejaVuSans", "DejaVuSerif", "DejaVuSans-Bold", "DejaVuSerif-Italic", "STIXGeneral")
_MONO: Final = "DejaVuSansMono"

Color = tuple[int, int, int]
Draw = ImageDraw.ImageDraw


def _font(random_: random.Random, size: int, name: str = "") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_FONTS / f"{name or random_.choice(_PROSE)}.ttf", size)


def _word(random_: random.Random) -> str:
    return "".join(random_.choice("etaoinshrdlucmfwypvbgk") for _ in range(random_.randint(2, 11)))


def _line(random_: random.Random, words: int) -> str:
    line = " ".join(_word(random_) for _ in range(words))
    return line.capitalize() + random_.choice(("", "", ".", ",")) if random_.random() < 0.5 else line


def _color(random_: random.Random, low: int = 0, high: int = 255) -> Color:
    return random_.randint(low, high), random_.randint(low, high), random_.randint(low, high)


def _text(
    random_: random.Random,
    draw: Draw,
    box: tuple[int, int, int, int],
    font: ImageFont.FreeTypeFont,
    ink: Color,
) -> None:
    """Lines of words, down to the end of the box."""
    left, top, right, bottom = box
    height = int(font.size * random_.uniform(1.2, 1.7))
    per_line = max(1, int((right - left) / (font.size * 3.2)))
    y = top
    while y + height < bottom:
        if random_.random() < 0.9:
            line = _line(
                random_,
                random_.randint(max(1, per_line // 2) if random_.random() < 0.2 else per_line, per_line),
            )
            draw.text((left, y), line, font=font, fill=ink)
        y += height


def _paper(random_: random.Random) -> tuple[Color, Color]:
    """Paper and ink."""
    kind = random_.random()
    if kind < 0.6:
        return (255, 255, 255), _color(random_, 0, 60)
    if kind < 0.8:
        tone = random_.randint(230, 252)
        return (tone, tone - random_.randint(0, 6), tone - random_.randint(0, 20)), _color(random_, 0, 70)
    return _color(random_, 10, 50), _color(random_, 190, 255)


def page(random_: random.Random) -> Image.Image:
    """A page of text, in one column or several, with headings and perhaps a table."""
    width, height = random_.choice(((1000, 1400), (800, 1100), (1240, 1754), (1200, 800)))
    paper, ink = _paper(random_)
    image = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(image)
    margin, columns = random_.randint(40, 140), random_.choice((1, 1, 2, 3))
    size = random_.randint(12, 26)
    top = margin
    if random_.random() < 0.6:
        draw.text((margin, top), _line(random_, 4), font=_font(random_, size * 2), fill=ink)
        top += size * 3
    column = (width - 2 * margin) // columns
    bottom = height - margin - (random_.random() < 0.3) * height // 3
    for index in range(columns):
        left = margin + index * column
        _text(random_, draw, (left, top, left + column - 20, bottom), _font(random_, size), ink)
    if random_.random() < 0.3:
        rows, cells = random_.randint(4, 14), random_.randint(2, 6)
        for row in range(rows):
            y = bottom + row * size * 2
            draw.line((margin, y, width - margin, y), fill=ink)
            for cell in range(cells):
                text = str(random_.randint(0, 99999))
                draw.text(
                    (margin + cell * (width - 2 * margin) // cells, y + 4),
                    text,
                    font=_font(random_, size, _MONO),
                    fill=ink,
                )
    return image


def scan(random_: random.Random) -> Image.Image:
    """A page from a scanner: turned a little, soft, uneven, with noise."""
    image = page(random_)
    image = image.rotate(
        random_.uniform(-1.5, 1.5), Image.Resampling.BICUBIC, fillcolor=image.getpixel((2, 2))
    )  # type: ignore[arg-type]
    image = image.filter(ImageFilter.GaussianBlur(random_.uniform(0.3, 1.1)))
    samples = np.asarray(image, np.float32)
    shade = np.linspace(1.0, random_.uniform(0.93, 1.0), samples.shape[1], dtype=np.float32)[None, :, None]
    noise = np.random.default_rng(random_.getrandbits(32)).normal(
        0, random_.uniform(0, 2.5), samples.shape[:2]
    )
    return Image.fromarray((samples * shade + noise[..., None]).clip(0, 255).astype(np.uint8))


def terminal(random_: random.Random) -> Image.Image:
    width, height = random_.choice(((960, 600), (1280, 720), (820, 520), (1600, 900)))
    dark = random_.random() < 0.85
    image = Image.new("RGB", (width, height), _color(random_, 0, 45) if dark else _color(random_, 235, 255))
    draw = ImageDraw.Draw(image)
    size = random_.randint(11, 22)
    font = _font(random_, size, _MONO)
    inks = [
        _color(random_, 120, 255) if dark else _color(random_, 0, 120) for _ in range(random_.randint(1, 6))
    ]
    filled = random_.uniform(0.3, 1.0)
    for y in range(8, int(height * filled), int(size * 1.3)):
        x = 8 + size * random_.choice((0, 0, 1, 2, 3))
        for _ in range(random_.randint(0, 12)):
            word = _word(random_) + random_.choice(("", ":", "()", "=", "/"))
            draw.text((x, y), word, font=font, fill=random_.choice(inks))
            x += int(font.getlength(word + " "))
            if x > width:
                break
    return image


def window(random_: random.Random) -> Image.Image:
    """A program's window: bars, lists, buttons, fields, text, tiles."""
    width, height = random_.choice(
        ((1280, 800), (1440, 900), (1920, 1080), (390, 844), (1080, 2340), (1024, 768))
    )
    dark = random_.random() < 0.3
    back = _color(random_, 20, 50) if dark else _color(random_, 235, 255)
    ink = _color(random_, 200, 255) if dark else _color(random_, 10, 80)
    image = Image.new("RGB", (width, height), back)
    draw = ImageDraw.Draw(image)
    unit = random_.randint(22, 48)
    accent = _color(random_)
    draw.rectangle((0, 0, width, unit * 2), fill=random_.choice((accent, back, _color(random_, 60, 230))))
    draw.text(
        (unit, unit // 2), _line(random_, 3), font=_font(random_, unit // 2 + 4, "DejaVuSans-Bold"), fill=ink
    )
    side = random_.choice((0, width // 5, width // 4))
    if side:
        tone = random_.randint(-14, 14)
        draw.rectangle(
            (0, unit * 2, side, height), fill=tuple(min(255, max(0, each + tone)) for each in back)
        )
        for y in range(unit * 3, height - unit, int(unit * 1.2)):
            draw.ellipse((unit // 2, y, unit, y + unit // 2), fill=_color(random_))
            draw.text(
                (int(unit * 1.3), y),
                _line(random_, 2),
                font=_font(random_, max(10, unit // 3), "DejaVuSans"),
                fill=ink,
            )
    y = unit * 3
    while y < height - unit * 2:
        kind = random_.random()
        left, right = side + unit, width - unit
        tall = random_.randint(2, 8) * unit
        if kind < 0.4:
            _text(
                random_,
                draw,
                (left, y, right, min(height - unit, y + tall)),
                _font(random_, random_.randint(11, 20), "DejaVuSans"),
                ink,
            )
        elif kind < 0.6:
            for x in range(left, right - unit * 4, unit * 5):
                draw.rounded_rectangle(
                    (x, y, x + unit * 4, y + tall), unit // 4, fill=_color(random_), outline=ink
                )
                draw.text(
                    (x + 8, y + 8),
                    _word(random_),
                    font=_font(random_, max(10, unit // 3)),
                    fill=_color(random_),
                )
        elif kind < 0.8:
            for row in range(y, y + tall, unit):
                draw.line((left, row, right, row), fill=_color(random_, 120, 210))
                draw.text(
                    (left, row + 4),
                    _line(random_, 4),
                    font=_font(random_, max(10, unit // 3), "DejaVuSans"),
                    fill=ink,
                )
                draw.text(
                    (right - unit * 4, row + 4),
                    str(random_.random())[:8],
                    font=_font(random_, max(10, unit // 3), _MONO),
                    fill=ink,
                )
        else:
            draw.rounded_rectangle((left, y, left + unit * 6, y + unit), unit // 3, outline=ink, width=2)
            draw.rounded_rectangle((left + unit * 7, y, left + unit * 11, y + unit), unit // 3, fill=accent)
            tall = unit
        y += tall + unit
    return image


def chart(random_: random.Random) -> Image.Image:
    """Lines, bars, points, a pie or a field of colors, by matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rng = np.random.default_rng(random_.getrandbits(32))
    figure = Figure(
        figsize=(random_.uniform(4, 9), random_.uniform(3, 6)), dpi=random_.choice((72, 100, 150))
    )
    if random_.random() < 0.2:
        figure.set_facecolor([random_.random() * 0.3] * 3)
    for index in range(rows := random_.choice((1, 1, 2))):
        axes = figure.add_subplot(rows, 1, index + 1)
        kind = random_.randrange(6)
        if kind == 0:
            for _ in range(random_.randint(1, 8)):
                axes.plot(rng.normal(size=random_.randint(10, 300)).cumsum(), lw=random_.uniform(0.5, 3))
        elif kind == 1:
            axes.bar(
                range(n := random_.randint(3, 30)),
                rng.random(n),
                color=rng.random((n, 3)) if random_.random() < 0.5 else None,
            )
        elif kind == 2:
            axes.scatter(*rng.normal(size=(2, random_.randint(20, 800))), s=random_.uniform(3, 60), alpha=0.6)
        elif kind == 3:
            axes.pie(rng.random(random_.randint(3, 9)))
        elif kind == 4:
            axes.imshow(rng.random((random_.randint(4, 20), random_.randint(4, 20))), aspect="auto")
        else:
            axes.hist(rng.normal(size=500), bins=random_.randint(8, 60))
            axes.grid(visible=True)
        axes.set_title(_line(random_, 3))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def line_drawing(random_: random.Random) -> Image.Image:
    width, height = random_.randint(500, 1400), random_.randint(400, 1200)
    paper, ink = _paper(random_)
    image = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(image)
    colored = random_.random() < 0.3
    for _ in range(random_.randint(8, 150)):
        stroke = _color(random_) if colored else ink
        thick = random_.randint(1, 6)
        x, y, size = random_.randint(0, width), random_.randint(0, height), random_.randint(10, 400)
        kind = random_.randrange(4)
        if kind == 0:
            draw.line(
                (x, y, x + random_.randint(-size, size), y + random_.randint(-size, size)),
                fill=stroke,
                width=thick,
            )
        elif kind == 1:
            draw.ellipse((x, y, x + size, y + random_.randint(10, 400)), outline=stroke, width=thick)
        elif kind == 2:
            draw.arc(
                (x, y, x + size, y + size),
                random_.randint(0, 360),
                random_.randint(0, 360),
                fill=stroke,
                width=thick,
            )
        else:
            points = [(x, y)]
            for _ in range(random_.randint(5, 60)):
                points.append(
                    (points[-1][0] + random_.randint(-20, 20), points[-1][1] + random_.randint(-20, 20))
                )
            draw.line(points, fill=stroke, width=thick, joint="curve")
    return image


def cartoon(random_: random.Random) -> Image.Image:
    """Flat areas of color, with or without outlines and gradients."""
    width, height = random_.randint(500, 1400), random_.randint(400, 1200)
    image = (
        _gradient(random_, width, height)
        if random_.random() < 0.4
        else Image.new("RGB", (width, height), _color(random_))
    )
    draw = ImageDraw.Draw(image)
    outline = (0, 0, 0) if random_.random() < 0.5 else None
    for _ in range(random_.randint(5, 60)):
        x, y, size = random_.randint(-100, width), random_.randint(-100, height), random_.randint(20, 400)
        kind = random_.randrange(3)
        if kind == 0:
            draw.ellipse(
                (x, y, x + size, y + random_.randint(20, 400)), fill=_color(random_), outline=outline, width=3
            )
        elif kind == 1:
            draw.rounded_rectangle(
                (x, y, x + size, y + random_.randint(20, 400)),
                8,
                fill=_color(random_),
                outline=outline,
                width=3,
            )
        else:
            turns = sorted(random_.uniform(0, 2 * math.pi) for _ in range(random_.randint(3, 9)))
            draw.polygon(
                [(x + size * math.cos(turn), y + size * math.sin(turn)) for turn in turns],
                fill=_color(random_),
                outline=outline,
            )
    return image


def slide(random_: random.Random) -> Image.Image:
    width, height = random_.choice(((1280, 720), (1024, 768), (1600, 900)))
    image = (
        _gradient(random_, width, height)
        if random_.random() < 0.3
        else Image.new("RGB", (width, height), _paper(random_)[0])
    )
    draw = ImageDraw.Draw(image)
    light = sum(image.getpixel((width // 2, height // 2))) > 384  # type: ignore[arg-type]
    ink = _color(random_, 0, 80) if light else _color(random_, 190, 255)
    draw.text(
        (width // 14, height // 12), _line(random_, 4), font=_font(random_, random_.randint(40, 70)), fill=ink
    )
    y = height // 4
    size = random_.randint(20, 40)
    for _ in range(random_.randint(2, 8)):
        draw.ellipse((width // 14, y + size // 3, width // 14 + size // 2, y + size), fill=_color(random_))
        draw.text(
            (width // 14 + size, y),
            _line(random_, random_.randint(3, 9)),
            font=_font(random_, size, "DejaVuSans"),
            fill=ink,
        )
        y += size * 2
    if random_.random() < 0.5:
        small = random_.choice((chart, cartoon, line_drawing))(random_)
        small.thumbnail((width // 3, height // 2))
        image.paste(small, (width * 3 // 5, height // 3))
    return image


def rendering(random_: random.Random) -> Image.Image:
    """Shaded balls over a floor, without any noise."""
    width, height = random_.randint(480, 900), random_.randint(360, 700)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    top, bottom = np.array(_color(random_), float), np.array(_color(random_), float)
    samples = top + (bottom - top) * (y / height)[..., None]
    horizon = height * random_.uniform(0.4, 0.7)
    depth = 60 / np.maximum(y - horizon, 1)
    squares = (np.floor((x - width / 2) * depth / 30) + np.floor(depth * 8)).astype(int) % 2
    tiles = np.where(squares[..., None] == 1, np.array(_color(random_)), np.array(_color(random_)))
    if random_.random() < 0.7:
        samples = np.where((y > horizon)[..., None], tiles, samples)
    for _ in range(random_.randint(1, 12)):
        cx, cy, radius = (
            random_.uniform(0, width),
            random_.uniform(height * 0.2, height),
            random_.uniform(20, 160),
        )
        inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        nx, ny = (x - cx) / radius, (y - cy) / radius
        nz = np.sqrt(np.maximum(1 - nx**2 - ny**2, 0))
        light = np.clip(-0.5 * nx - 0.6 * ny + 0.62 * nz, 0, 1)
        shade = (0.15 + 0.85 * light)[..., None] * np.array(_color(random_, 60)) + 255 * (
            light ** random_.randint(10, 60)
        )[..., None]
        samples = np.where(inside[..., None], shade, samples)
    return Image.fromarray(samples.clip(0, 255).astype(np.uint8))


def _gradient(random_: random.Random, width: int, height: int) -> Image.Image:
    one, other = np.array(_color(random_), float), np.array(_color(random_), float)
    part = np.linspace(0, 1, height)[:, None, None] * np.ones((1, width, 1))
    return Image.fromarray((one + (other - one) * part).astype(np.uint8))


DRAWINGS: Final[dict[str, Callable[[random.Random], Image.Image]]] = {
    each.__name__: each
    for each in (page, scan, terminal, window, chart, line_drawing, cartoon, slide, rendering)
}


def drawing(kind: str, seed: int) -> NDArray[np.uint8]:
    """One drawing of that kind; every seed gives another."""
    return np.asarray(DRAWINGS[kind](random.Random(f"{kind} {seed}")))


def with_caption(
    photo: NDArray[np.uint8],
    style: str = "over",
    share: float = 0.1,
    text: str = "ONE DOES NOT SIMPLY WALK AWAY",
    color: str = "white",
    edge: str = "black",
) -> NDArray[np.uint8]:
    """A photograph with a caption: outlined letters over it, or black ones on a bar above it.

    Args:
        photo: ``(H, W, 3)``.
        style: "over" or "bar".
        share: size of the letters, as a share of the shorter side.
        text: of the caption.
        color: of letters over the photograph.
        edge: color of their outline; '' for none.
    """
    image = Image.fromarray(photo)
    width, height = image.size
    size = round(share * min(width, height))
    font = ImageFont.truetype(_FONTS / "DejaVuSans-Bold.ttf", size)
    half = len(text) // 2
    lines = [text[:half], text[half:]] if font.getlength(text) > width else [text]
    top, ink, outline = size // 4, color, max(1, size // 14) if edge else 0
    if style == "bar":
        bar = 2 * top + round(1.2 * size * len(lines))
        canvas = Image.new("RGB", (width, height + bar), "white")
        canvas.paste(image, (0, bar))
        image, ink, outline = canvas, "black", 0
    draw = ImageDraw.Draw(image)
    for line in lines:
        place = (width // 2, top)
        draw.text(
            place, line, font=font, fill=ink, anchor="ma", stroke_width=outline, stroke_fill=edge or ink
        )
        top += round(1.2 * size)
    return np.asarray(image)


def handed_on(pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """A picture as it is handed on: perhaps scaled, then PNG, JPEG of quality 60 to 95, or WebP."""
    random_ = random.Random(seed)
    image = Image.fromarray(pixels)
    if random_.random() < 0.6:
        scale = random_.uniform(0.4, 1.3)
        size = tuple(max(64, round(side * scale)) for side in image.size)
        image = image.resize(
            size, random_.choice((Image.Resampling.LANCZOS, Image.Resampling.BICUBIC, Image.Resampling.BOX))
        )  # type: ignore[arg-type]
    codec = random_.random()
    if codec < 0.2:
        return np.asarray(image)
    file = io.BytesIO()
    if codec < 0.75:
        image.save(file, "JPEG", quality=random_.randint(60, 95), subsampling=random_.choice((0, 2)))
    else:
        image.save(file, "WEBP", quality=random_.randint(60, 95), method=1)
    return np.asarray(Image.open(file).convert("RGB"))
