"""The algorithms: one published method per file. A file's name is its name on the command line.

Each file says `FIDELITY` (code: checked against the authors' code; paper: from the paper alone; adapted: changed by us)
and `EXCEPTIONS` (law -> why it does not hold). `HEAD` names the owner of the head where the method fixes it.
"""
