"""The tests of company."""
