"""Pictures as a film studio would bring them, drawn: skies, ridges, water, towns, things on a table."""

import io
import math
import random
from collections.abc import Callable

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter

SIZE = (1280, 720)
EDGE = 179  # of Pillow's radial gradient, in the middle of a side
Size = tuple[int, int]


def jpeg(picture: Image.Image) -> bytes:
    """The file."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _mix(first: str, second: str, share: float) -> str:
    pairs = zip(ImageColor.getrgb(first)[:3], ImageColor.getrgb(second)[:3], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _sky(size: Size, *colours: str) -> Image.Image:
    """These colours from top to bottom."""
    column = Image.new("RGB", (1, 256))
    for y in range(256):
        place = y / 255 * (len(colours) - 1)
        below = min(int(place), len(colours) - 2)
        column.putpixel((0, y), ImageColor.getrgb(_mix(colours[below], colours[below + 1], place - below)))
    return column.resize(size, Image.Resampling.BICUBIC)


def _glow(
    picture: Image.Image, centre: tuple[float, float], radius: float, colour: str, strength: float = 1
) -> None:
    """Light around a point; shares of the picture, the radius of its height."""
    width, height = picture.size
    side = round(radius * height * 2)
    fade = [round(max(0, 1 - value / EDGE) ** 2 * 255 * strength) for value in range(256)]
    light = Image.radial_gradient("L").resize((side, side), Image.Resampling.BICUBIC).point(fade)
    corner = (round(centre[0] * width - side / 2), round(centre[1] * height - side / 2))
    layer = Image.new("L", picture.size)
    layer.paste(light, corner)
    picture.paste(Image.new("RGB", picture.size, colour), mask=layer)


def _disc(picture: Image.Image, centre: tuple[float, float], radius: float, colour: str) -> None:
    """A sun or a moon with a soft edge."""
    width, height = picture.size
    layer = Image.new("L", picture.size)
    x, y, r = centre[0] * width, centre[1] * height, radius * height
    ImageDraw.Draw(layer).ellipse((x - r, y - r, x + r, y + r), fill=255)
    picture.paste(Image.new("RGB", picture.size, colour), mask=layer.filter(ImageFilter.GaussianBlur(1.2)))


def _ridge(chance: random.Random, width: int, rough: float) -> list[float]:
    """Heights from 0 to 1 along a picture's width, by halves."""
    heights = {0: chance.random(), 1024: chance.random()}
    step, spread = 1024, rough
    while step > 1:
        for at in range(0, 1024, step):
            middle = (heights[at] + heights[at + step]) / 2
            heights[at + step // 2] = middle + chance.uniform(-spread, spread)
        step //= 2
        spread *= 0.52
    lowest, highest = min(heights.values()), max(heights.values())
    return [(heights[round(x / width * 1024)] - lowest) / (highest - lowest) for x in range(width + 1)]


def _ridges(
    picture: Image.Image,
    seed: int,
    near: str,
    far: str,
    *,
    top: float,
    bottom: float,
    count: int = 5,
    rough: float = 0.5,
) -> None:
    """Hills behind each other between two heights of the picture; mist lies in front of each but the nearest."""
    chance = random.Random(seed)  # noqa: S311  the same picture each time
    width, height = picture.size
    for number in range(count):
        depth = number / max(count - 1, 1)
        crest = (top + (bottom - top) * depth) * height
        tall = height * (0.17 - 0.07 * depth)
        line = [(x, crest - tall * up) for x, up in enumerate(_ridge(chance, width, rough))]
        shape = Image.new("L", picture.size)
        ImageDraw.Draw(shape).polygon([*line, (width, height), (0, height)], fill=255)
        colour = _mix(far, near, depth)
        lit = _sky(picture.size, colour, _mix(colour, far, 0.45 * (1 - depth)))
        picture.paste(lit, mask=shape.filter(ImageFilter.GaussianBlur(0.7)))


def _water(picture: Image.Image, from_: float, tint: str) -> None:
    """What is above a line, mirrored below it and rippled."""
    width, height = picture.size
    line = round(height * from_)
    mirrored = picture.crop((0, 2 * line - height, width, line)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    rippled = Image.new("RGB", mirrored.size)
    for y in range(mirrored.height):
        sway = round(math.sin(y / 3.1) * math.sin(y / 17) * (1 + y / 26))
        rippled.paste(ImageChops.offset(mirrored.crop((0, y, width, y + 1)), sway, 0), (0, y))
    rippled = Image.blend(rippled.filter(ImageFilter.GaussianBlur(1.6)), Image.new("RGB", rippled.size, tint), 0.22)
    picture.paste(rippled, (0, line))


def _stars(picture: Image.Image, seed: int, below: float) -> None:
    chance = random.Random(seed)  # noqa: S311  as above
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    for _ in range(220):
        x, y, r = chance.random() * width, chance.random() ** 1.4 * below * height, chance.choice((0.4, 0.7, 1.1))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=_mix("#33406b", "#ffffff", chance.random()))


def _pines(picture: Image.Image, seed: int, colour: str, *, foot: float, tall: float, count: int = 46) -> None:
    """A row of firs."""
    chance = random.Random(seed)  # noqa: S311  as above
    width, height = picture.size
    draw = ImageDraw.Draw(picture)
    for _ in range(count):
        x, size = chance.random() * width, height * tall * chance.uniform(0.45, 1)
        ground = height * (foot + chance.uniform(-0.012, 0.03))
        for level in range(7):
            y = ground - size * level / 7
            half = size * 0.2 * (1 - level / 7.6)
            draw.polygon([(x - half, y), (x + half, y), (x, y - size / 3.4)], fill=colour)
    draw.rectangle((0, height * (foot - 0.005), width, height), fill=colour)


def lake_at_dawn(size: Size = SIZE) -> Image.Image:
    """Hills in mist around still water."""
    picture = _sky(size, "#3c5a86", "#c98f8a", "#f6c78d", "#fbe3b8")
    _glow(picture, (0.63, 0.5), 0.75, "#fff0c9", 0.9)
    _disc(picture, (0.63, 0.5), 0.05, "#fff6dd")
    _ridges(picture, 7, "#28374f", "#c79c94", top=0.58, bottom=0.71)
    _water(picture, 0.71, "#5a5f7c")
    return picture


def northern_lights(size: Size = SIZE) -> Image.Image:
    """Green light above a snowy range."""
    picture = _sky(size, "#050b22", "#0b2442", "#174a5a", "#2a6a66")
    _stars(picture, 3, 0.6)
    curtain = Image.new("RGB", size)
    draw = ImageDraw.Draw(curtain)
    for x in range(0, size[0], 3):
        share = x / size[0]
        foot = size[1] * (0.46 + 0.1 * math.sin(share * 6.2) + 0.03 * math.sin(share * 23))
        tall = size[1] * (0.26 + 0.12 * math.sin(share * 9 + 1))
        for part in range(12):
            y = foot - tall * part / 12
            draw.line((x, y, x, y - tall / 12), fill=_mix("#46f0a6", "#402a7c", part / 12), width=3)
    picture = ImageChops.screen(picture, curtain.filter(ImageFilter.GaussianBlur(16)))
    _ridges(picture, 12, "#0a1526", "#5a84a0", top=0.72, bottom=0.93, count=3, rough=0.8)
    return picture


def city_in_the_rain(size: Size = SIZE) -> Image.Image:
    """Towers at night, their windows in a wet street."""
    chance = random.Random(21)  # noqa: S311  as above
    picture = _sky(size, "#0c1030", "#2b1d52", "#8a2f6c", "#f0785a")
    width, height = size
    for depth in range(3):
        draw = ImageDraw.Draw(picture)
        x = -20.0
        while x < width:
            wide = chance.uniform(50, 120)
            roof = height * (0.68 - chance.uniform(0.1, 0.44) * (0.75 + depth * 0.2))
            draw.rectangle((x, roof, x + wide, height), fill=_mix("#5a2d63", "#0d0f26", depth / 2))
            for wx in range(int(x) + 8, int(x + wide) - 8, 13):
                for wy in range(int(roof) + 12, int(height * 0.7), 17):
                    if chance.random() < 0.2 + 0.13 * depth:
                        draw.rectangle(
                            (wx, wy, wx + 5, wy + 8), fill=chance.choice(("#ffd98a", "#ff9f6e", "#7fd4ff"))
                        )
            x += wide + chance.uniform(-8, 14)
    _glow(picture, (0.52, 0.72), 0.5, "#ff8f6b", 0.45)
    _water(picture, 0.7, "#1a1338")
    return picture


def dunes(size: Size = SIZE) -> Image.Image:
    """Sand in low light."""
    picture = _sky(size, "#4f86b8", "#a9c6d4", "#f3dcb6", "#f8cf94")
    _disc(picture, (0.24, 0.27), 0.045, "#fff7e2")
    _glow(picture, (0.24, 0.27), 0.6, "#fff2cf", 0.6)
    chance = random.Random(5)  # noqa: S311  as above
    width, height = size
    for number, (light, dark) in enumerate(
        (("#e8b87a", "#c98a54"), ("#e0a362", "#a9663c"), ("#d08a4a", "#81462a"))
    ):
        base, turn = height * (0.52 + 0.15 * number), chance.uniform(0, 6)
        line = [(x, base - height * 0.09 * math.sin(x / width * (3.1 + number) + turn)) for x in range(width + 1)]
        shape = Image.new("L", size)
        ImageDraw.Draw(shape).polygon([*line, (width, height), (0, height)], fill=255)
        picture.paste(_sky(size, light, light, dark), mask=shape.filter(ImageFilter.GaussianBlur(0.8)))
    return picture


def forest(size: Size = SIZE) -> Image.Image:
    """Firs in the fog."""
    picture = _sky(size, "#9fb7b4", "#c4d1c4", "#e4e3cf")
    _glow(picture, (0.4, 0.2), 0.7, "#fffbe6", 0.8)
    for number, colour in enumerate(("#a3b8ae", "#7d998e", "#527267", "#2c4a43", "#122b28")):
        _pines(
            picture, 30 + number, colour, foot=0.6 + 0.09 * number, tall=0.34 + 0.06 * number, count=44 - 5 * number
        )
        _glow(picture, (0.5, 0.66 + 0.09 * number), 0.5, "#e4e3cf", 0.32 - 0.06 * number)
    return picture


def lighthouse(size: Size = SIZE) -> Image.Image:
    """Its beam over the sea in the evening."""
    picture = _sky(size, "#152349", "#3f4f86", "#b9708b", "#f3a77b")
    _stars(picture, 8, 0.4)
    width, height = size
    beam = Image.new("L", size)
    lamp = (width * 0.72, height * 0.34)
    ImageDraw.Draw(beam).polygon([lamp, (0, height * 0.16), (0, height * 0.36)], fill=110)
    picture.paste(Image.new("RGB", size, "#fff3c4"), mask=beam.filter(ImageFilter.GaussianBlur(14)))
    _water(picture, 0.74, "#26335f")
    _ridges(picture, 44, "#10172e", "#2a3355", top=0.83, bottom=0.9, count=2, rough=0.9)
    draw = ImageDraw.Draw(picture)
    x, foot = width * 0.72, height * 0.82
    draw.polygon([(x - 26, foot), (x + 26, foot), (x + 15, height * 0.38), (x - 15, height * 0.38)], fill="#f2ece2")
    for number in range(3):
        y = height * (0.74 - 0.125 * number)
        draw.polygon(
            [
                (x - 24 + 3.4 * number, y),
                (x + 24 - 3.4 * number, y),
                (x + 21 - 3.4 * number, y - 40),
                (x - 21 + 3.4 * number, y - 40),
            ],
            fill="#c4463c",
        )
    draw.rectangle((x - 20, height * 0.365, x + 20, height * 0.382), fill="#1c2340")
    draw.rectangle((x - 11, height * 0.31, x + 11, height * 0.365), fill="#ffedb0")
    draw.polygon([(x - 17, height * 0.31), (x + 17, height * 0.31), (x, height * 0.27)], fill="#c4463c")
    _glow(picture, (0.72, 0.34), 0.16, "#fff3c4", 0.9)
    return picture


def perfume(size: Size = SIZE) -> Image.Image:
    """A bottle on a table, as an advertisement has it."""
    picture = _sky(size, "#e9c7bd", "#f3ddd2", "#e8bfae")
    width, height = size
    _glow(picture, (0.32, 0.3), 0.7, "#fff8f0", 0.9)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, height * 0.74, width, height), fill="#d9a692")
    shadow = Image.new("L", size)
    ImageDraw.Draw(shadow).ellipse((width * 0.42, height * 0.76, width * 0.78, height * 0.86), fill=120)
    picture.paste(Image.new("RGB", size, "#7c4a3f"), mask=shadow.filter(ImageFilter.GaussianBlur(22)))
    unit = min(size)
    x, y = width / 2, height * 0.8
    bottle = Image.new("L", size)
    ImageDraw.Draw(bottle).rounded_rectangle(
        (x - unit * 0.17, y - unit * 0.42, x + unit * 0.17, y), unit * 0.05, fill=255
    )
    glass = _sky(size, "#f7dfc8", "#eaa88b", "#c05f57", "#8f3d46")
    picture.paste(glass, mask=bottle.filter(ImageFilter.GaussianBlur(0.8)))
    draw.rounded_rectangle((x - unit * 0.055, y - unit * 0.5, x + unit * 0.055, y - unit * 0.42), 6, fill="#d9b46a")
    draw.rounded_rectangle((x - unit * 0.09, y - unit * 0.64, x + unit * 0.09, y - unit * 0.49), 14, fill="#2e2326")
    shine = Image.new("L", size)
    ImageDraw.Draw(shine).rounded_rectangle(
        (x - unit * 0.14, y - unit * 0.38, x - unit * 0.11, y - unit * 0.06), 10, fill=170
    )
    picture.paste(Image.new("RGB", size, "#fffaf4"), mask=shine.filter(ImageFilter.GaussianBlur(5)))
    draw.rectangle((x - unit * 0.085, y - unit * 0.26, x + unit * 0.085, y - unit * 0.14), fill="#f8ede3")
    for line, half in ((0.225, 0.05), (0.195, 0.06), (0.17, 0.03)):
        draw.rectangle((x - unit * half, y - unit * line, x + unit * half, y - unit * line + 3), fill="#8f3d46")
    return picture


def balloons(size: Size = SIZE) -> Image.Image:
    """Three of them over a valley in the morning."""
    picture = _sky(size, "#6db3d8", "#b7dbe2", "#fbe4c3", "#f7c7a1")
    _glow(picture, (0.8, 0.62), 0.8, "#fff1d0", 0.8)
    _ridges(picture, 61, "#3d6a5d", "#c7c9b5", top=0.68, bottom=0.92, count=5, rough=0.45)
    draw = ImageDraw.Draw(picture)
    width, height = size
    for across, up, share, colours in (
        (0.3, 0.33, 0.17, ("#d6503f", "#f2b84b", "#f7efe2")),
        (0.62, 0.24, 0.1, ("#2f6f86", "#f2efe2", "#e58f4e")),
        (0.8, 0.42, 0.06, ("#7c4b86", "#f0c25a", "#d6503f")),
    ):
        x, y, r = across * width, up * height, share * height
        for number in range(7):
            half = r * math.cos(number / 7 * math.pi / 2)
            draw.chord((x - half, y - r, x + half, y + r), 0, 360, fill=colours[number % 3])
        draw.polygon(
            [
                (x - r * 0.62, y + r * 0.76),
                (x + r * 0.62, y + r * 0.76),
                (x + r * 0.13, y + r * 1.3),
                (x - r * 0.13, y + r * 1.3),
            ],
            fill=colours[0],
        )
        draw.rectangle((x - r * 0.13, y + r * 1.42, x + r * 0.13, y + r * 1.62), fill="#5b3a29")
    return picture


def tea(size: Size = SIZE) -> Image.Image:
    """A bowl that steams in front of a round window."""
    picture = _sky(size, "#2e3b38", "#3f514b", "#55675c")
    width, height = size
    _disc(picture, (0.5, 0.4), 0.34, "#f0d9a8")
    _glow(picture, (0.5, 0.4), 0.75, "#f7e7bf", 0.4)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, height * 0.78, width, height), fill="#26201c")
    draw.rectangle((0, height * 0.78, width, height * 0.79), fill="#4a3a2e")
    x, y, r = width / 2, height * 0.62, height * 0.19
    draw.pieslice((x - r, y - r, x + r, y + r), 0, 180, fill="#b6543a")
    draw.ellipse((x - r, y - r * 0.2, x + r, y + r * 0.2), fill="#8d3d2b")
    draw.ellipse((x - r * 0.9, y - r * 0.14, x + r * 0.9, y + r * 0.15), fill="#5a6b2f")
    draw.rectangle((x - r * 0.42, y + r * 0.88, x + r * 0.42, y + r * 1.02), fill="#7b3324")
    steam = Image.new("L", size)
    pen = ImageDraw.Draw(steam)
    for number in range(3):
        points = [
            (x + (number - 1) * r * 0.45 + math.sin(step / 6 + number) * (6 + step * 0.5), y - 10 - step * 4.2)
            for step in range(48)
        ]
        pen.line(points, fill=150, width=9)
    picture.paste(Image.new("RGB", size, "#fff8ea"), mask=steam.filter(ImageFilter.GaussianBlur(9)))
    return picture


PAINTINGS: dict[str, Callable[[], Image.Image]] = {
    "lake-at-dawn": lake_at_dawn,
    "northern-lights": northern_lights,
    "city-in-the-rain": city_in_the_rain,
    "dunes": dunes,
    "forest": forest,
    "lighthouse": lighthouse,
    "perfume": perfume,
    "balloons": balloons,
    "tea": tea,
}
