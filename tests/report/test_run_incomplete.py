"""The page of a run that is not finished, damaged, moved, or no run: what is missing is explained."""

import json
import shutil

import pytest
import yaml
from typer.testing import CliRunner

from qaclims_path.cli.app import app
from qaclims_path.errors import UsageError
from qaclims_path.pipeline.run.report import write_run_report


def copied(made_run, folder, *left_out):
    run, root = made_run
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("report.html", *left_out))
    return folder, root


@pytest.mark.parametrize(
    ("left_out", "missing"),
    [
        (("metrics.json", "confusion.csv", "per_image.csv"), {"scores"}),
        (("seg",), {"examples"}),
        (("cams", "masks", "seg", "metrics.json"), {"scores", "examples"}),
        (("corpus.jsonl", "slides", "log.csv"), {"corpus", "slides", "training"}),
        (("stages.json", "environment.json"), {"stages", "environment"}),
    ],
)
def test_missing_parts_are_explained(made_run, tmp_path, browser, left_out, missing):
    run, root = copied(made_run, tmp_path / "half", *left_out)
    made = write_run_report(run, root)
    assert set(made.missing) == missing
    browser.open(run / "report.html")
    assert browser.quiet()
    told = browser.run("document.body.textContent")
    assert all(made.missing[section].replace("`", "") in told for section in missing)


def test_a_run_that_has_just_started_has_a_page(made_run, tmp_path, browser):
    run = tmp_path / "begun"
    run.mkdir()
    shutil.copy(made_run[0] / "config.yaml", run)
    made = write_run_report(run)
    assert made.images == 0
    assert "--root" in made.missing["examples"]
    browser.open(run / "report.html")
    assert browser.quiet()


def test_without_masks_images_are_spread_over_their_split(made_run, tmp_path):
    run, root = copied(made_run, tmp_path / "new", "metrics.json", "per_image.csv")
    made = write_run_report(run, root)
    assert made.images == 6
    assert "spread over the split" in (run / "report.html").read_text()


def test_damaged_files_empty_a_section_and_not_the_page(made_run, tmp_path):
    run, root = copied(made_run, tmp_path / "damaged")
    (run / "stages.json").write_text("{")
    (run / "corpus.jsonl").write_text("no json\n")
    for path in (run / "masks" / "val" / "labels").iterdir():
        path.write_bytes(b"no picture")
    made = write_run_report(run, root)
    assert {"stages", "corpus", "examples"} <= set(made.missing)
    assert "stages.json is damaged" in made.missing["stages"]
    assert "not a picture" in made.missing["examples"]
    assert made.images == 6


def test_the_page_of_an_unknown_data_set(made_run, tmp_path):
    run, root = copied(made_run, tmp_path / "far")
    config = yaml.safe_load((run / "config.yaml").read_text()) | {"dataset": "from-another-copy"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    made = write_run_report(run, root)
    assert len(made.evaluations) == 3
    assert "no data set 'from-another-copy'" in made.missing["card"]


def test_a_failed_stage_shows_its_error(made_run, tmp_path):
    run, _ = copied(made_run, tmp_path / "failed")
    stages = json.loads((run / "stages.json").read_text())
    stages["seg"] |= {"state": "failed", "error": "Memory does <not> suffice."}
    (run / "stages.json").write_text(json.dumps(stages))
    write_run_report(run)
    html = (run / "report.html").read_text()
    assert "Memory does &lt;not&gt; suffice." in html
    assert "5 of 6 stages done, seg failed" in html


def test_folders_that_are_no_run_are_refused(tmp_path):
    with pytest.raises(UsageError, match="not a folder"):
        write_run_report(tmp_path / "none")
    with pytest.raises(UsageError, match="nothing of a run"):
        write_run_report(tmp_path)


def test_the_command_names_the_page(made_run, tmp_path):
    run, root = copied(made_run, tmp_path / "said", "slides")
    found = CliRunner().invoke(app, ["report", str(run), "--root", str(root), "--json"])
    assert found.exit_code == 0
    assert json.loads(found.stdout)["images"] == 6
    found = CliRunner().invoke(app, ["report", str(run)])
    assert "was written" in found.stdout
    assert "without slides" in found.stdout


def test_slides_segmented_elsewhere_are_shown_when_their_folder_is_moved_into_the_run(made_run, tmp_path):
    run, root = copied(made_run, tmp_path / "moved")
    (run / "slides").rename(tmp_path / "segmented")
    said = write_run_report(run, root).missing["slides"]
    assert "`qaclims segment RUN SLIDES --out RUN/slides` writes them there" in said
    assert "when that folder is moved to RUN/slides" in said
    (tmp_path / "segmented").rename(run / "slides")
    assert "slides" not in write_run_report(run, root).missing
