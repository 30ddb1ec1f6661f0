"""The page of the learned rows of GDSS over several trainings, written by benchmarks/gdss_trainings.py."""


def page(drawn: list[dict], names: list[str]) -> str:
    return "# GDSS: learned rows over several trainings\n\nNot yet drawn: run benchmarks/gdss_trainings.py.\n"
