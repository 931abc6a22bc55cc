"""Recipes as lines to paste, and as JSON."""

from appliance.cli.recipes import describe_recipe, format_recipe
from appliance.policy.recipes import Recipe

RECIPE = Recipe("On a client", ("route add", "route show"), ("route del",))


def test_a_shell_that_is_given_all_of_it_runs_the_lines_alone() -> None:
    lines = list(format_recipe(RECIPE))
    assert [each for each in lines if not each.startswith("#")] == ["route add", "route show"]
    assert lines[-1] == "#   route del"


def test_without_a_way_back_none_is_promised() -> None:
    assert list(format_recipe(Recipe("Once", ("pull",)))) == ["# Once", "pull"]


def test_as_json_nothing_is_left_out() -> None:
    told = describe_recipe(RECIPE)
    assert Recipe(told["title"], tuple(told["lines"]), tuple(told["undo"])) == RECIPE
