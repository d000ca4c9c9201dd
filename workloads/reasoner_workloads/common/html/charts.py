"""Charts in the colours of `page.html.j2`: bars as boxes, whose words wrap on a narrow screen, curves as inline SVG.
Text is escaped; the same numbers give the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def line(points: Sequence[tuple[float, float]]) -> Markup:
    """A curve through points, sorted by their first number."""
    if not points:
        return _svg([], 20, "line chart")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    across, up = (max(xs) - min(xs)) or 1, (max(ys) - min(ys)) or 1
    drawn = " ".join(
        f"{50 + (WIDTH - 70) * (x - min(xs)) / across:.1f},{160 - 140 * (y - min(ys)) / up:.1f}" for x, y in points
    )
    marks = [_text(44, 24, f"{max(ys):.3g}", "soft", "end"), _text(44, 164, f"{min(ys):.3g}", "soft", "end")]
    marks += [_text(50, 182, f"{min(xs):g}", "soft"), _text(WIDTH - 20, 182, f"{max(xs):g}", "soft", "end")]
    return _svg([Markup('<polyline points="{}"/>').format(drawn), *marks], 190, "line chart")


def _bar(label: str, shares: Sequence[float], words: str) -> Markup:
    colours = "ba" if len(shares) == 2 else "a"
    fills = Markup("").join(_fill(colour, share) for colour, share in zip(colours, shares, strict=True))
    return Markup('<div class="label">{}</div><div class="track">{}</div><div class="number">{}</div>').format(
        label, fills, words
    )


def _legend(names: Sequence[str]) -> Markup:
    if not names:
        return Markup("")
    marks = Markup("").join(
        Markup('<span><i class="{}"></i>{}</span>').format(colour, name)
        for colour, name in zip("ba", names, strict=True)
    )
    return Markup('<div class="legend">{}</div>').format(marks)


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
