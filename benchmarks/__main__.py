"""``pml-aug COMMAND``."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from .cli.arguments import Parser
from .errors import TrainingError, UserError, unknown

COMMANDS = {
    "run": "train and evaluate one model",
    "classify": "train and evaluate one classifier, by softmax or introspective softmax",
    "suite": "train many models over worker processes, then write the report",
    "ablate": "train a method beside its controls, and say what each of its parts adds and costs",
    "tune": "search the parameters of each loss and method with equal budgets",
    "final": "train what a study chose over folds and seeds, score it on the test set once, then write the report",
    "choose": "find out within some minutes which loss, method and parameters to use on your data",
    "report": "read finished runs and write html, markdown, latex and csv",
    "compare": "say in one line how much better one run, or one folder of runs, is than another",
    "data": "look at a data set, or make what its first training would",
    "features": "compute a trunk's features of a data set once, into a file to train on",
    "embed": "compute the embeddings of images by a trained model",
    "search": "find the nearest images among embedded ones",
    "export": "write a trained model for other programs, checked against this one",
    "cost": "measure what each piece costs beside the baseline",
    "speed": "measure images per second, piece by piece, beside what the machine could do",
    "gpu-check": "measure on a GPU, in a given number of minutes, what the goals are about",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status of a command: 0 done, 1 something failed, 2 invalid command line."""
    commands = "\n".join(f"  {name:<11}{what}" for name, what in COMMANDS.items())
    parser = Parser(
        prog="pml-aug",
        description=f"Compare metric-learning losses with and without augmentation, fairly.\n\ncommands:\n{commands}",
        epilog="pml-aug COMMAND --help says more",
    )
    parser.add_argument("command", metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of the command")
    try:
        given = parser.parse_args(argv)
        if given.command not in COMMANDS:
            raise UserError(unknown("command", given.command, COMMANDS))
        command: Callable[[Sequence[str]], int] = import_module(
            f"{__package__}.cli.{given.command.replace('-', '_')}"
        ).main
        return command(given.arguments)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a path that cannot be written, a full disk
        reason = error.strerror or str(error)
        print(f"{parser.prog}: {reason if error.filename is None else f'{error.filename}: {reason}'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
