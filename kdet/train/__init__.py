"""Training: from a recipe to weights, with one training loop for all families.

`main(recipe)` is the command line. `step.TrainStep` is one step on any number of replicas. It does
not depend on a family, because it gets a network, a function for the targets and a function for the
losses.
"""

__all__ = ["main"]


def main(recipe, argv=None):
    """Runs the training command of a recipe and ends the process with its exit code.

    Exit codes: 0 done; 1 the loss is not finite; 2 wrong arguments, files or settings; 3 another
    worker was lost; 130 stopped by a signal. After 3 and 130, start the same command with --resume
    on every worker to continue.

    Args:
        recipe: the `kdet.config.Recipe` to train.
        argv: arguments without the program's name. None takes those of the command line. `--help`
            lists them.
    """
    import sys

    from kdet.train.cli import run

    sys.exit(run(recipe, sys.argv[1:] if argv is None else list(argv)))
