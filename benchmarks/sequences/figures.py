"""The figures of docs/leaderboards/sequences.md."""


def figures(held: dict) -> dict[str, str]:
    return {}
