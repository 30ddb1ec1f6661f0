"""Help texts of the commands, with their paragraphs and commands kept as they were written."""

import re
from argparse import Action, RawDescriptionHelpFormatter
from typing import Any

from jsonargparse import DefaultHelpFormatter

MANY = 20  # options that a usage line still shows


class TeachingFormatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """For `formatter_class` of any parser. Of the classes that fit an option it names svlearn's own (`--OPTION.help
    NAME` tells of any other), and of a long usage only its beginning."""

    def _get_help_string(self, action: Action) -> str:
        text, separator, names = super()._get_help_string(action).partition(", known subclasses: ")
        if not separator:
            return text
        ours = [name for name in re.findall(r"[\w.]+", names) if name.startswith("svlearn.")]
        return f"{text}, of svlearn: {', '.join(ours)})" if ours else f"{text})"

    def _format_usage(self, usage: Any, actions: Any, *args: Any, **kwargs: Any) -> str:
        actions = list(actions)
        if len(actions) > MANY:
            return f"usage: {self._prog} [--config CONFIG] [options]\n\n"
        return super()._format_usage(usage, actions, *args, **kwargs)
