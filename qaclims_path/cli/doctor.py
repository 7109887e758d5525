"""`qaclims doctor`: what works on this machine."""

import typer

from qaclims_path.cli.options import Json, new_app

app = new_app()


@app.command()
def doctor(as_json: Json = False) -> None:
    """Show what works on this machine, what is missing, and how to install it.

    Exit code 1 when something that the package always needs does not work.

    Example: `qaclims doctor`
    """
    from qaclims_path.cli.views.console import show
    from qaclims_path.pipeline.doctor.diagnose import diagnose
    from qaclims_path.report.doctor import doctor_page

    report = diagnose()
    show(report, lambda found: doctor_page(found.findings), as_json=as_json)
    if not report.healthy:
        raise typer.Exit(1)
