"""A project whose admin has one of everything; see tests.browser."""
