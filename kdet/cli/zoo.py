"""kdet zoo: lists the rows of the zoo and shows their cards."""

from __future__ import annotations

DESCRIPTION = """Lists the rows of the zoo with their published metrics, or shows the sizes, the
weights and the commands of one row."""
EXAMPLE = "kdet zoo yolov3_darknet"
TENSORFLOW = False


def add_arguments(parser):
    """Adds the arguments of the command."""
    parser.add_argument("name", nargs="?", metavar="ROW", help="the row to show")
    page = parser.add_mutually_exclusive_group()
    page.add_argument("--markdown", action="store_true", help="print the table of the README")
    page.add_argument("--cards", action="store_true", help="print the page docs/zoo.md")


def check(flags):
    """Refuses a row together with a page of all rows."""
    from kdet.errors import ConfigError

    if flags.name and (flags.markdown or flags.cards):
        raise ConfigError("--markdown and --cards show all rows; leave out the name of the row")


def run(flags):
    """Prints one row, or all of them."""
    from kdet.config import rows
    from kdet.zoo import cards

    if flags.name:
        print(cards.text(rows.recipe(flags.name)))
    elif flags.cards:
        print(cards.page(), end="")
    elif flags.markdown:
        print(cards.table())
    else:
        for name in rows.names():
            print(name.ljust(36), cards.published(rows.recipe(name)))
