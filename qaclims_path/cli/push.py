"""`qaclims push`: the segmenter of a run on the hub."""

from pathlib import Path
from typing import Annotated

import typer

from qaclims_path.cli.options import Json, new_app

app = new_app()


@app.command()
def push(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or of a segmenter.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the hub; made if it is new.")],
    public: Annotated[bool, typer.Option("--public", help="Let everybody see a new repository.")] = False,
    as_json: Json = False,
) -> None:
    """Upload the segmenter of a run with its model card to the hub.

    The token is that of HF_TOKEN or of `hf auth login`. Check first that the licence of the data, which the card
    states, lets you publish what was learned from them.

    Example: `qaclims push runs/cam owner/breast-tissue`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.cli.views.training import export_view
    from qaclims_path.models.segmenters.spec import segmenter_in

    segmenter_in(run)  # a folder without a segmenter is refused before torch is imported
    from qaclims_path.pipeline.segmenter.export import push as upload

    show(upload(run, repo, private=not public), export_view, as_json=as_json)
