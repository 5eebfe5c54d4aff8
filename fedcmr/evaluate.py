"""A finished run on other patients, or on its own test patients again.

    python -m fedcmr.evaluate RUN --data acdc data.root=DIR data.sites=3

A client of the run is scored in both views; a client that the run did not know (an unseen vendor) in the global view.
Patients that the run was trained or validated on are left out, whatever they are called: their images are recognised.
"""

import sys
from collections.abc import Sequence

from fedcmr.arguments import flags_of, guarded, parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    sentence = "Score a finished run on other patients, or on its own test patients again."
    said = parser("evaluate", sentence, subject="run").parse_intermixed_args(arguments)

    def command() -> int:
        from fedcmr.evaluating import evaluate

        if said.config:
            raise ValueError(f"--config {said.config}: a finished run brings its own; name other data by key=value.")
        wishes = [f"{knob}={value}" for knob, value in flags_of(said).items()]
        evaluate(said.run, [*wishes, *said.overrides], said.out)
        return 0

    return guarded(command, said.debug)


if __name__ == "__main__":
    sys.exit(main())
