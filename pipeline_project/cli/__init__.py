"""The command line `pipeline`. One module for each group of commands; the work itself is in the other packages."""

__all__ = []
