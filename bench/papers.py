"""The parts of docs/PERFORMANCE.md that the bench writes: between two marks of one name.

    <!-- bench:P1 -->
    whatever the last run found
    <!-- /bench:P1 -->

The words around them are people's, and stay.
"""

import re

from bench.results import Section, Table


class MarksMissingError(Exception):
    """The paper has no place for what was measured."""

    hint = "put the two marks where the figures belong"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no <!-- bench:{name} --> … <!-- /bench:{name} -->")


def replace_block(text: str, name: str, block: str) -> str:
    """`text` with `block` between the marks called `name`. Raises MarksMissingError."""
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise MarksMissingError(name)
    return pattern.sub(lambda _: f"{begin}\n\n{block}\n\n{end}", text, count=1)


def format_markdown(table: Table) -> str:
    """The table as Markdown."""
    headings, *rows = table.texts()
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(each.replace('|', '/') for each in line)} |" for line in lines)


def format_section(section: Section, where: str) -> str:
    """What a part found, with its plots, and `where` it was found."""
    blocks = [format_markdown(table) for table in section.tables]
    blocks += ["\n".join(f"![{name}](plots/{name}.svg)" for name in section.plots)]
    return "\n\n".join([*filter(None, blocks), where])
