"""How numbers are written: as many digits as their standard error allows."""

import math


def plain(value: float, digits: int = 4) -> str:
    """A number to some significant digits; an en dash where there is none."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "-inf" if value < 0 else "inf"
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.{digits}g}"


def with_error(value: float, error: float, sign: bool = False) -> str:
    """As "0.612 ± 0.003": the error to one digit, to two where the first is 1; the value to the same place."""
    if not math.isfinite(value) or not math.isfinite(error) or error <= 0:
        return f"{'+' if sign and value >= 0 else ''}{plain(value)}"
    form = f".{_decimals(error)}f" if error > 1e-10 and max(abs(value), error) < 1e9 else ".4g"
    return f"{value:{'+' if sign else ''}{form}} ± {error:{form}}"


def between(low: float, high: float) -> str:
    """As "0.606 to 0.618": ends to the place that their distance allows."""
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return "–" if math.isnan(low) else f"{plain(low)} to {plain(high)}"
    apart = high / 4 - low / 4
    form = f".{_decimals(apart)}f" if apart > 1e-10 and max(-low, high) < 1e9 else ".4g"
    return f"{low:{form}} to {high:{form}}"


def ratio(value: float, other: float) -> str | None:
    """value/other to two decimals, to fewer from 10 on, to two significant digits below 0.01; None where it is not
    defined."""
    share = value / other if other > 0 else math.nan
    if not math.isfinite(share):
        return None
    if share >= 0.01 or share <= 0:
        return f"{share:.2f}" if share < 10 else f"{share:.1f}" if share < 100 else f"{share:.0f}"
    return f"{share:.2g}" if share >= 1e-4 else "under 0.0001"


def _decimals(error: float) -> int:
    mantissa, exponent = f"{error:.16e}".split("e")  # as text: powers of ten underflow
    first = int(exponent) - (round(float(mantissa), 1) < 2)
    return min(max(0, -first), 12)
