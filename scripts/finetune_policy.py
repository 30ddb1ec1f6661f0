"""`svlearn finetune`, from a checkout."""

import sys

from svlearn.cli import main

if __name__ == "__main__":
    main(["finetune", *sys.argv[1:]])
