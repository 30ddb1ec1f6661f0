"""`svlearn pretrain`, from a checkout."""

import sys

from svlearn.cli import main

if __name__ == "__main__":
    main(["pretrain", *sys.argv[1:]])
