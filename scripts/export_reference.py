"""`svlearn export qm9`, from a checkout."""

import sys

from svlearn.cli import main

if __name__ == "__main__":
    main(["export", "qm9", *sys.argv[1:]])
