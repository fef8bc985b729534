"""kdet zoo: the rows and what is known about them."""

from __future__ import annotations

DESCRIPTION = None


def add_arguments(parser):
    """The command's arguments."""
    parser.add_argument(
        "name", nargs="?", metavar="ROW", help="show its sizes, weights and commands"
    )
    parser.add_argument("--markdown", action="store_true", help="all rows as the README's table")
    parser.add_argument("--cards", action="store_true", help="all rows as docs/zoo.md")


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
