"""Charts in the colours of `page.html.j2`: bars as boxes, whose words wrap on a narrow screen, curves as inline SVG.
Text is escaped; the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

WIDTH = 480


def bars(values: Mapping[str, Sequence[float]], names: Sequence[str] = (), form: str = "{:,}") -> Markup:
    """Horizontal bars, one group a label; with two numbers each, the first stands pale behind the second. `names` say
    what the two are, `form` how a number is written."""
    most = max((number for group in values.values() for number in group), default=0) or 1
    rows = Markup("").join(
        _bar(label, [number / most for number in group], " → ".join(map(form.format, group)))
        for label, group in values.items()
    )
    return _legend(names) + Markup('<div class="bars">{}</div>').format(rows)


def funnel(stages: Sequence[tuple[str, int, int, str]]) -> Markup:
    """Stages from top to bottom, each with the rows that came in and went on and a word on those that did not."""
    most = max((came for _, came, _, _ in stages), default=0) or 1
    rows = Markup("").join(
        Markup(
            '<div class="label">{}</div><div class="track">{}{}</div><div class="number">{:,}<span>{}</span></div>'
            '<div class="lost">{}</div>'
        ).format(name, _fill("bad", came / most), _fill("a", went / most), went, _percent(went, most), lost)
        for name, came, went, lost in stages
    )
    return Markup('<div class="funnel">{}</div>').format(rows)


def histogram(values: Mapping[str, int]) -> Markup:
    """Upright bars in the order given."""
    most, count = max(values.values(), default=0) or 1, max(1, len(values))
    wide, parts = (WIDTH - 20) / count, []
    for place, (label, number) in enumerate(values.items()):
        left, high = 10 + place * wide, 130 * number / most
        parts.append(_rect((left + 3, 160 - high, wide - 6, high), "a"))
        parts.append(_text(left + wide / 2, 154 - high, f"{number:,}", "soft", "middle"))
        parts.append(_text(left + wide / 2, 180, label, anchor="middle"))
    parts.append(Markup('<line class="axis" x1="10" x2="{}" y1="160.5" y2="160.5"/>').format(WIDTH - 10))
    return _svg(parts, 190, "histogram")


@dataclass(frozen=True)
class Mark:
    """Something that happened at a place of a curve."""

    x: float
    kind: Literal["dot", "rule", "bad"]
    """A dot on the axis, a dashed line, or one in the colour of trouble."""
    title: str
    """What is said of it where a pointer rests on it, and to those who listen."""


def line(points: Sequence[tuple[float, float]]) -> Markup:
    """A curve through points, sorted by their first number."""
    return curves([("a", points)])


def curves(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], marks: Sequence[Mark] = ()) -> Markup:
    """Curves in one frame, each with its colour: `a`, `b` the pale one, or `dots` for single points; the last drawn
    stands in front."""
    every = [point for _, points in lines for point in points]
    if not every:
        return _svg([], 20, "line chart")
    frame = _Frame.around(every)
    parts = [_mark(mark, frame) for mark in marks if frame.left <= mark.x <= frame.right]
    parts.append(Markup('<line class="axis" x1="50" x2="{}" y1="160.5" y2="160.5"/>').format(WIDTH - 20))
    parts += [_curve(colour, points, frame) for colour, points in lines if points]
    parts += [_text(44, 24, _short(frame.top), "soft", "end"), _text(44, 164, _short(frame.bottom), "soft", "end")]
    parts += [_text(50, 182, f"{frame.left:g}", "soft"), _text(WIDTH - 20, 182, f"{frame.right:g}", "soft", "end")]
    return _svg(parts, 190, "line chart")


@dataclass(frozen=True)
class _Frame:
    """What a chart of curves shows."""

    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def around(cls, points: Sequence[tuple[float, float]]) -> _Frame:
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return cls(min(xs), max(xs), min(ys), max(ys))

    def place(self, x: float, y: float) -> tuple[float, float]:
        across, up = (self.right - self.left) or 1, (self.top - self.bottom) or 1
        return 50 + (WIDTH - 70) * (x - self.left) / across, 160 - 140 * (y - self.bottom) / up


def _short(number: float) -> str:
    """A number that fits beside an axis."""
    return f"{number:.3g}" if abs(number) >= 0.1 or not number else f"{number:.1g}"


def _curve(colour: str, points: Sequence[tuple[float, float]], frame: _Frame) -> Markup:
    placed = [frame.place(*point) for point in points]
    if colour == "dots":
        dots = (Markup('<circle class="c" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(*place) for place in placed)
        return Markup("").join(dots)
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    return Markup('<polyline class="{}" points="{}"/>').format(colour, drawn)


def _mark(mark: Mark, frame: _Frame) -> Markup:
    x, _ = frame.place(mark.x, frame.bottom)
    shape = (
        Markup('<circle class="tick" cx="{:.1f}" cy="160.5" r="2.5">{}</circle>')
        if mark.kind == "dot"
        else Markup('<line class="{2}" x1="{0:.1f}" x2="{0:.1f}" y1="14" y2="160">{1}</line>')
    )
    return shape.format(x, Markup("<title>{}</title>").format(mark.title), mark.kind)


def _bar(label: str, shares: Sequence[float], words: str) -> Markup:
    colours = "ba" if len(shares) == 2 else "a"
    fills = Markup("").join(_fill(colour, share) for colour, share in zip(colours, shares, strict=True))
    return Markup('<div class="label">{}</div><div class="track">{}</div><div class="number">{}</div>').format(
        label, fills, words
    )


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """What colours and marks stand for: each a colour of `curves` or a kind of Mark, and its name."""
    marks = Markup("").join(Markup('<span><i class="{}"></i>{}</span>').format(*entry) for entry in entries)
    return Markup('<div class="legend">{}</div>').format(marks)


def _legend(names: Sequence[str]) -> Markup:
    return legend(list(zip("ba", names, strict=True))) if names else Markup("")


def _fill(colour: str, share: float) -> Markup:
    return Markup('<i class="{}" style="width:{:.2f}%"></i>').format(colour, 100 * share)


def _percent(number: int, whole: int) -> str:
    share = 100 * number / whole
    return f"{share:.0f} %" if share >= 10 or not share else f"{share:.2g} %"


def _svg(parts: Sequence[Markup], height: float, name: str, width: int = WIDTH) -> Markup:
    start = Markup('<svg viewBox="0 0 {} {:.0f}" role="img" aria-label="{}">').format(width, max(height, 1), name)
    return start + Markup("").join(parts) + Markup("</svg>")


def _rect(box: tuple[float, float, float, float], colour: str) -> Markup:
    x, y, width, height = (f"{number:.1f}" for number in box)
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="3"/>').format(colour, x, y, width, height)


def _text(x: float, y: float, text: str, colour: str = "", anchor: str = "start") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        colour, f"{x:.1f}", f"{y:.1f}", anchor, text
    )
