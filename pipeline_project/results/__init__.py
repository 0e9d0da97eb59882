"""Results: the file formats of a result, and where result files are stored.

The Lambda function imports single modules of this package, so that its start pays for no other.
"""

__all__ = ["encoders", "options", "pages", "store", "texts"]
