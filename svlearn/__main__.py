"""`python -m svlearn`: the command line."""

from svlearn.cli import main

if __name__ == "__main__":
    main()
