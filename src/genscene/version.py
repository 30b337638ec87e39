"""The version of genscene."""

__version__ = "0.1.0"
