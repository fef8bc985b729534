"""kdet plan: shows the settings that `kdet train` would choose for a data set."""

from __future__ import annotations

from kdet.cli import positive

DESCRIPTION = """Prints the settings that `kdet train ROW --data DATA` chooses for a data set, and
the reasons, without training. `kdet train` takes other settings as key=value."""
EXAMPLE = "kdet plan records"


def add_arguments(parser):
    """Adds the arguments of the command."""
    parser.add_argument("data", metavar="DATA", help="a converted data set, or its URL")
    parser.add_argument(
        "--row",
        action="append",
        metavar="ROW",
        help="a row of the zoo, may be given several times; default: the smallest of each family",
    )
    parser.add_argument(
        "--start",
        choices=("detector", "backbone", "nothing"),
        default="backbone",
        help="what the weights start from (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs", type=positive, metavar="N", help="passes over the data; default: chosen"
    )
    parser.add_argument(
        "--batch", type=positive, metavar="N", help="images per step; default: chosen"
    )


def check(flags):
    """Finds the rows and opens the data set."""
    from kdet.config.rows import recipe
    from kdet.train.data_sets import open_splits

    flags.rows = [recipe(name) for name in flags.row or smallest_rows()]
    flags.records, _ = open_splits(flags.data)


def run(flags):
    """Prints the plan of each row."""
    from kdet.config.text import differences
    from kdet.train.plan import make_plan

    records = flags.records
    print(f"{records.folder}: {len(records)} images, {len(records.labels)} classes")
    for row in flags.rows:
        planned, lines = make_plan(row, records, flags.start, flags.epochs, flags.batch, True)
        print(f"\n{row.name}")
        settings = [f"{key}={value}" for key, value in differences(row, planned).items()]
        for line in (*lines, *settings):
            print(f"  {line}")


def smallest_rows() -> list[str]:
    """The row of each family with the fewest parameters."""
    from kdet.config.rows import names, recipe
    from kdet.zoo.cards import SIZES

    rows = {}
    for name in sorted(names(), key=lambda name: SIZES[name][1]):
        rows.setdefault(type(recipe(name).model), name)
    return list(rows.values())
