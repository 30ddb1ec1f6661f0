"""Measure a pretrained network, and write the weights and the card that `svlearn.load` reads.

    svlearn export qm9 --checkpoint runs/qm9/last.ckpt

What is measured is a matter of the reference, so the first word names it: {known}.
`svlearn export NAME --help` says what that one reads and writes. A package of your own adds a name by an entry point of
the group `svlearn.exports`, "module:function": the function's arguments are the options, and the text that it returns
is printed.
"""

import sys
from importlib import import_module
from importlib.metadata import entry_points

from svlearn.cli.parser import call, plain_errors

GROUP = "svlearn.exports"


def run() -> None:
    known = {point.name: point for point in entry_points(group=GROUP)}
    names = ", ".join(sorted(known))
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(str(__doc__).replace("{known}", names or "none is installed"))
        return
    if name not in known:
        sys.stderr.write(f"{sys.argv[0]}: error: expected one of {names}, got {name!r}\n")
        sys.exit(2)
    sys.argv = [f"{sys.argv[0]} {name}", *sys.argv[2:]]
    with plain_errors():
        function = known[name].load()
    call(function, import_module(function.__module__).__doc__, show=True)
