"""The algorithms: one published method per file. A file's name is its name on the command line.

Each file says `FIDELITY` (code: after the authors' public code; paper: after the publication alone; adapted: ours)
and `EXCEPTIONS` (law -> why it does not hold). `HEAD` names the owner of the head where the method fixes it.
"""
