"""What more processes would give, on paper: by what one and two took here, the bytes they exchange, and assumptions."""

from benchmarks.common.pages import markdown_table
from benchmarks.scaling.work import STEPS, TRAJECTORIES, Network
from svlearn.evaluation.report.numbers import plain

PLACES = {  # processes, bytes a second of a link, seconds until its first byte
    "eight GPUs of one host": (8, 100e9, 10e-6),
    "four hosts, 10 Gbit/s": (4, 1.25e9, 100e-6),
}


def serial_share(two: float) -> float:
    """The part of the work that no second process takes over, where two are so many times as fast as one (Amdahl)."""
    return max(0.0, 2 / two - 1)


def times_as_fast(serial: float, processes: int) -> float:
    """Amdahl's law: the serial part stays, the rest is divided evenly."""
    return 1 / (serial + (1 - serial) / processes)


def all_reduce(size: float, processes: int, bandwidth: float, latency: float) -> float:
    """Seconds to sum so many bytes over a ring: 2 (n - 1) messages of an n-th each, one after another."""
    return 2 * (processes - 1) * (size / processes / bandwidth + latency)


def gradient_bytes() -> int:
    """float32 of all weights of the network that is trained."""
    return 4 * sum(each.numel() for each in Network(4).parameters())


def section(ratios: dict[str, float], one_training: float) -> str:
    """ratios: by kind of work, how many times as fast two processes are; one_training: seconds of one process."""
    step, size = one_training / STEPS, gradient_bytes()
    rows = []
    for kind in ("sampling", "scoring"):
        serial = serial_share(ratios[kind])
        cells = [f"{plain(times_as_fast(serial, number), 2)} of {number}" for number, _, _ in PLACES.values()]
        rows.append(
            [kind, f"{plain(100 * serial, 2)} % of the work stays with one process; the rest is shared", *cells]
        )
    cells, serial = [], serial_share(ratios["training"])
    for number, bandwidth, latency in PLACES.values():
        seconds = step / times_as_fast(serial, number) + all_reduce(size, number, bandwidth, latency)
        cells.append(f"{plain(step / seconds, 2)} of {number}")
    said = (
        f"{plain(100 * serial, 2)} % of a step of {TRAJECTORIES} trajectories, {plain(1e3 * step, 2)} ms, stays with "
        f"each process (the sums over gloo included); {plain(size / 1e6, 2)} MB of gradients are summed over a ring "
        "besides"
    )
    rows.append(["training", said, *cells])
    links = "; ".join(
        f"{name}: {plain(bandwidth / 1e9, 3)} GB/s and {plain(1e6 * latency, 3)} µs a message"
        for name, (_, bandwidth, latency) in PLACES.items()
    )
    header = ["Work", "What is assumed", *PLACES]
    return (
        "\n## On paper: eight GPUs, four hosts\n\n"
        f"Not measured. How many times as fast as one process, from the figures above and from links of {links}. A "
        "process is taken to be as fast as one here: of one that is ten times as fast the steps are a tenth as long, "
        "and what is exchanged weighs ten times as much.\n\n"
        f"{markdown_table(header, rows)}"
    )
