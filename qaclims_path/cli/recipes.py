"""`qaclims recipes`: recipes, and every setting with its meaning, default and origin."""

from typing import Annotated

import typer

from qaclims_path.cli.options import Json, Recipe, new_app, override

app = new_app("Recipes: list, show, keys.")


@app.command("list")
def list_command(as_json: Json = False) -> None:
    """List the recipes that ship with the package, and the files that make each.

    Example: `qaclims recipes list`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.recipes import list_view
    from qaclims_path.pipeline.run.settings import list_recipes

    show(list_recipes(), list_view, as_json=as_json)


@app.command("show")
def show_command(
    config: Recipe,
    settings: Annotated[list[str] | None, override("cam.train.epochs=5")] = None,
    as_json: Json = False,
) -> None:
    """Show every setting of a recipe with its value, and the file that set it.

    Example: `qaclims recipes show bcss-wsss/qa-clims-path`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.recipes import recipe_view
    from qaclims_path.pipeline.run.settings import show_recipe

    show(show_recipe(config, settings or ()), recipe_view, as_json=as_json)


@app.command()
def keys(
    part: Annotated[str, typer.Argument(metavar="[KEY]", help="Only settings below this key, such as cam.train.")] = "",
    schema: Annotated[
        bool, typer.Option("--schema", help="Print a JSON Schema, with which editors complete recipes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show every setting of recipes: its default, what it may be, its meaning, and the files that set it.

    Example: `qaclims recipes keys cam.train`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.recipes import keys_view
    from qaclims_path.pipeline.run.settings import recipe_schema, settings_below

    if schema:
        show(recipe_schema(), lambda _: (), as_json=True)
    else:
        show(settings_below(part), keys_view, as_json=as_json)
