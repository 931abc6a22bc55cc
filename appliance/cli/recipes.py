"""Recipes as text and as JSON, for the verbs that print lines to be typed elsewhere."""

from collections.abc import Iterator
from typing import Any

from appliance.policy.recipes import Recipe


def format_recipe(recipe: Recipe) -> Iterator[str]:
    """Its lines bare, what explains them and takes them back behind a `#`."""
    yield from (f"# {recipe.title}", *recipe.lines)
    if recipe.undo:
        yield "# To undo it:"
    yield from (f"#   {line}" for line in recipe.undo)


def describe_recipe(recipe: Recipe) -> dict[str, Any]:
    """The same as JSON."""
    return {"title": recipe.title, "lines": list(recipe.lines), "undo": list(recipe.undo)}
