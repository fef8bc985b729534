"""kdet zoo: lists the rows of the zoo and shows their cards."""

from __future__ import annotations

DESCRIPTION = None


def add_arguments(parser):
    """Adds the arguments of the command."""
    parser.add_argument(
        "name", nargs="?", metavar="ROW", help="show sizes, weights and commands of this row"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table of the README")
    parser.add_argument("--cards", action="store_true", help="print the page docs/zoo.md")


def run(flags):
    """Prints one row, or all of them."""
    from kdet import models
    from kdet.zoo import cards

    if flags.name:
        print(cards.text(models.recipe(flags.name)))
    elif flags.cards:
        print(cards.page(), end="")
    elif flags.markdown:
        print(cards.table())
    else:
        for name in models.names():
            print(name.ljust(36), cards.published(models.recipe(name)))
