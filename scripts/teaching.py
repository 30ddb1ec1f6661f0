"""Help texts of the scripts, with their paragraphs and commands kept as they were written."""

from argparse import RawDescriptionHelpFormatter

from jsonargparse import DefaultHelpFormatter


class TeachingFormatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
    """For `formatter_class` of any parser."""
