"""A project with all of the packages; see tests.third_party."""
