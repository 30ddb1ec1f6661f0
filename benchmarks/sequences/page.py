"""The page docs/leaderboards/sequences.md."""


def page(held: dict) -> str:
    return ""
