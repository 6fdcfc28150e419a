"""The project that the servers serve; see tests.servers."""
