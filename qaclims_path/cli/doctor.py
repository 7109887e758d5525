"""`qaclims doctor`: what works on this machine."""

from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say what works on this machine, what is missing, and the command that brings it.

    Exit code 1 when something that the package always needs does not work.

    Example: `qaclims doctor`
    """
    from qaclims_path.cli.views.console import console, print_json
    from qaclims_path.pipeline.doctor import diagnose
    from qaclims_path.report.doctor import doctor_page

    report = diagnose()
    if as_json:
        print_json(report)
    else:
        shown = console()
        for line in doctor_page(report.findings):
            shown.print(line, highlight=False)
    if not report.healthy:
        raise typer.Exit(1)
