"""`svlearn train-value`, from a checkout."""

import sys

from svlearn.cli import main

if __name__ == "__main__":
    main(["train-value", *sys.argv[1:]])
