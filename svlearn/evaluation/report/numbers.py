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
    decimals = _decimals(error)
    return f"{value:{'+' if sign else ''}.{decimals}f} ± {error:.{decimals}f}"


def between(low: float, high: float) -> str:
    """As "0.606 to 0.618": ends to the place that their distance allows."""
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return "–" if math.isnan(low) else f"{plain(low)} to {plain(high)}"
    decimals = _decimals((high - low) / 4)
    return f"{low:.{decimals}f} to {high:.{decimals}f}"


def ratio(value: float, other: float) -> str | None:
    """value/other to two decimals, or two significant digits; None where it is not defined."""
    if not other > 0 or not math.isfinite(value):
        return None
    share = value / other
    return f"{share:.2f}" if 0.01 <= share < 100 else f"{share:.2g}"


def _decimals(error: float) -> int:
    first = math.floor(math.log10(error))
    if round(error / 10**first, 1) < 2:
        first -= 1
    return min(max(0, -first), 12)
