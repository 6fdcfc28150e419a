"""The admin in a real browser, on the loop of a real server."""
