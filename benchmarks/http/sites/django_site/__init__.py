"""The Django project of all Django peers: they differ in settings and views."""
