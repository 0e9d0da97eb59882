"""An example of what a company adds: a source, two datasets, an operation, a check, and their tables."""
