"""`python -m benchmarks [STUDY [options]]`."""

from benchmarks.common.command import main

if __name__ == "__main__":
    main()
