"""Quantities with units, read only where there is no doubt. Used by `equivalence`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

Dimension = tuple[Fraction, ...]
_BASE = ("m", "kg", "s", "A", "K", "mol", "cd")


def _dimension(**powers: int) -> Dimension:
    return tuple(Fraction(powers.get(name, 0)) for name in _BASE)


_ENERGY = _dimension(kg=1, m=2, s=-2)
_PRESSURE = _dimension(kg=1, m=-1, s=-2)
#: Units that take a prefix. Left out are those that mean several things (F, h of Planck, in) and those with an offset.
_PREFIXED: dict[str, tuple[float, Dimension]] = {
    "m": (1, _dimension(m=1)),
    "g": (1e-3, _dimension(kg=1)),
    "s": (1, _dimension(s=1)),
    "A": (1, _dimension(A=1)),
    "K": (1, _dimension(K=1)),
    "mol": (1, _dimension(mol=1)),
    "N": (1, _dimension(kg=1, m=1, s=-2)),
    "J": (1, _ENERGY),
    "W": (1, _dimension(kg=1, m=2, s=-3)),
    "Pa": (1, _PRESSURE),
    "Hz": (1, _dimension(s=-1)),
    "V": (1, _dimension(kg=1, m=2, s=-3, A=-1)),
    "Ω": (1, _dimension(kg=1, m=2, s=-3, A=-2)),
    "T": (1, _dimension(kg=1, s=-2, A=-1)),
    "Wb": (1, _dimension(kg=1, m=2, s=-2, A=-1)),
    "L": (1e-3, _dimension(m=3)),
    "eV": (1.602176634e-19, _ENERGY),
    "Wh": (3600, _ENERGY),
    "bar": (1e5, _PRESSURE),
}
_PLAIN: dict[str, tuple[float, Dimension]] = {
    "min": (60, _dimension(s=1)),
    "h": (3600, _dimension(s=1)),
    "hr": (3600, _dimension(s=1)),
    "atm": (101_325, _PRESSURE),
    "torr": (101_325 / 760, _PRESSURE),
    "mL": (1e-6, _dimension(m=3)),
    "ml": (1e-6, _dimension(m=3)),
    "ohm": _PREFIXED["Ω"],
    "cd": (1, _dimension(cd=1)),
}
_PREFIXES = {"p": 1e-12, "n": 1e-9, "μ": 1e-6, "m": 1e-3, "c": 1e-2, "d": 1e-1, "k": 1e3, "M": 1e6, "G": 1e9}

_QUANTITY = re.compile(
    r"([-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?)(?:\*10\^(?:\{([-+]?\d+)\}|\(?([-+]?\d+)\)?))?"
    r" ?([a-zA-ZμΩ(][a-zA-ZμΩ*/^{}()0-9 -]*)"
)
_FACTOR = re.compile(r"([a-zA-ZμΩ]+)(?:\^(?:\{(-?\d)\}|\((-?\d)\)|(-?\d)))?")


@dataclass(frozen=True)
class Quantity:
    """A value in SI base units."""

    value: float
    dimension: Dimension
    whole: bool
    """Whether its number is written without a fraction: exact, not rounded."""


def read_quantity(text: str) -> Quantity | None:
    """The quantity that a normalised answer states; None where it is none or may be read in two ways."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    number, *exponents, unit = found.groups()
    exponent = next((int(one) for one in exponents if one), 0)
    scale = _unit(unit.strip())
    if scale is None or abs(exponent) > 100:
        return None
    value = float(number.replace(",", "")) * 10.0**exponent * scale[0]
    whole = re.fullmatch(r"[-+]?[\d,]+", number) is not None and not exponent
    return Quantity(value, scale[1], whole) if math.isfinite(value) else None


def _unit(text: str) -> tuple[float, Dimension] | None:
    """Size and dimension of `kg*m^2/s^2`, `J/(mol*K)`, `m s^-1`."""
    size, powers = 1.0, [Fraction(0)] * len(_BASE)
    for number, part in enumerate(text.split("/")):
        below = number > 0
        factors = re.split(r"[* ]", part.removeprefix("(").removesuffix(")") if below else part)
        # J/mol*K may mean either.
        if below and len(factors) > 1 and not (part.startswith("(") and part.endswith(")")):
            return None
        for factor in factors:
            found = _FACTOR.fullmatch(factor)
            known = _known(found.group(1)) if found else None
            if found is None or known is None:
                return None
            power = int(next((one for one in found.groups()[1:] if one), 1)) * (-1 if below else 1)
            size *= known[0] ** power
            powers = [have + power * one for have, one in zip(powers, known[1], strict=True)]
    return size, tuple(powers)


def _known(name: str) -> tuple[float, Dimension] | None:
    if name in _PLAIN:
        return _PLAIN[name]
    if name in _PREFIXED:
        return _PREFIXED[name]
    prefix, unit = _PREFIXES.get(name[:1]), _PREFIXED.get(name[1:])
    return (prefix * unit[0], unit[1]) if prefix and unit else None
