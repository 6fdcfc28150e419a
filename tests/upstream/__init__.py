"""Runs Django's own test suite on this package's engines and compares.

Called through ``scripts/django-suite``. Each label of the suite runs in a
process of its own, first on Django's engine (the baseline), then on ours; a
difference that ``expected.toml`` does not explain is a fault of the package.

::

    __main__   the command: which labels, which modes, the exit status
    labels     the labels that run when none are named
    source     Django's source distribution and an environment to run it in
    engines    the table of engines: Django's, ours, their server
    running    one process for each label, with time limits
    outcomes   what became of each test; the caches of those records
    comparing  baseline against ours, ours against expected.toml
    recording  the results that the repository keeps, in results/
    reporting  the page of the documentation that they give
    canary     the command that holds the seams against other versions
    seams      what the package takes from Django and others; seams.json
    deriving   finds the seams by looking at the package
    packages   the test suites of other packages, compared alike
    inside/    the part that runs in those processes, with Django loaded
"""
