"""Warnings about parts of a published recipe that nobody published: said, kept in the run, shown on its page."""

import json

import pytest

from qaclims_path.errors import BadFile, UsageError
from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.run.pipeline import do_run
from qaclims_path.pipeline.run.preview import preview
from qaclims_path.pipeline.run.published import NOTES, published_notes, read_notes
from qaclims_path.pipeline.run.report import write_run_report
from qaclims_path.pipeline.run.steps import Run


@pytest.mark.parametrize(
    "recipe",
    [
        "voc2012/clims-published",
        "voc2012/clims-published-coco",
        "voc2012/clims-published-r38",
        "coco2014/clims-published",
    ],
)
def test_a_published_recipe_of_clims_needs_no_warning(recipe):
    assert published_notes(load_run(recipe)) == []


def test_our_mode_needs_no_warning():
    assert published_notes(load_run("voc2012/qa-clims", ["seg.network.architecture=unet"])) == []


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("cam.network.backbone=resnet50", "the backbone of the maps is resnet50, not resnet50.tv_in1k"),
        ("seg.loss.forgive.own=0.2", "forgives wrong labels"),
        ("seg.augment.mosaic.share=0.5", "learns from mosaics"),
        ("cam.network.side.stages=[2, 3]", "the network of the maps has side heads or a wide context"),
        ("masks.refiner=par", "the refiner is par, not irn"),
        ("masks.boundary.backbone=cam", "the backbone of the boundary network is cam, not resnet50.tv_in1k"),
        ("seg.network.architecture=unet", "the segmenter is unet on resnet101_caffe, not deeplabv2 on resnet101_caffe"),
        ("seg.network.encoder=resnet101", "the segmenter is deeplabv2 on resnet101, not"),
        ("judge.id=vinid/plip", "the judge is vinid/plip, not open_clip:ViT-B-32-quickgelu@openai"),
    ],
)
def test_another_network_is_named(setting, said):
    [note] = published_notes(load_run("voc2012/clims-published", [setting]))
    assert note.startswith("Published settings, other network: ")
    assert said in note


def test_parts_that_are_not_asked_for_are_not_named():
    options = load_run(
        "voc2012/clims-published", ["evaluate.what=[cams]", "masks.refiner=par", "seg.network.encoder=vgg"]
    )
    assert published_notes(options) == []


def test_what_stands_in_for_ovseg_is_said():
    [note] = published_notes(load_run("voc2012/qa-clims-published"))
    assert "plain CLIP ViT-L/14 sees map times image times mask instead" in note
    assert published_notes(load_run("voc2012/qa-clims-published", ["judge.id=ovseg:net.pth"])) == []


def test_the_warning_is_said_kept_and_shown(make, tmp_path):
    run = make(tmp_path / "run", "published=true", "evaluate.what=[cams]", "cam.augment.long=[24,48]")
    [said] = [line for line in preview(run, []).warnings if line.startswith("Published settings")]
    do_run(run)
    assert json.loads((run.out / NOTES).read_text()) == read_notes(run.out) == [said]
    assert said.replace("'", "&#39;")[:60] in (run.out / "report.html").read_text()
    (run.out / NOTES).write_text('{"a": 1}')
    with pytest.raises(BadFile, match=r"notes\.json should hold a list of sentences"):
        read_notes(run.out)
    assert "notes" in write_run_report(run.out, run.root).missing


def test_a_checkpoint_of_ovseg_that_is_none_is_refused_at_once(make, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    for name, said in (("none.pth", "do not exist"), ("notes.txt", "is not a .safetensors file, nor a checkpoint")):
        with pytest.raises((BadFile, UsageError), match=said):
            do_run(make(tmp_path / "run", f"judge.id=ovseg:{tmp_path / name}", recipe="phantom/names"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("encoder", "file"), [("resnet101_caffe", "deeplabv1_res"), ("wideresnet38", "ilsvrc-cls")])
def test_weights_that_everybody_downloads_are_asked_for_at_once(encoder, file, make, tmp_path):
    settings = f"seg.network={{architecture: deeplabv2, encoder: {encoder}, weights: pretrained}}"
    with pytest.raises(UsageError, match=rf"The weights of '{encoder}' are a file such as {file}.*benchmarks\.md"):
        do_run(make(tmp_path / "run", settings))
    assert not (tmp_path / "run").exists()


STAND_INS = (
    "cam.network.backbone=test_resnet", "cam.network.weights=none", "cam.augment.size=32", "cam.augment.long=[40,48]",
    "cam.train={epochs: 1, batch: 2}", "cam.init.train={epochs: 1, batch: 2}", "cams.scales=[1.0, 0.5]",
    "masks.boundary={backbone: test_resnet, weights: none, size: 64}", "masks.boundary.train={epochs: 1, batch: 2}",
    "seg.network={encoder: test_resnet, weights: none}", "seg.augment.size=33", "seg.train={steps: 2, batch: 2}",
    "evaluate={scales: [0.5, 1.0], splits: [val]}",
)  # fmt: skip


def run_with_stand_ins(recipe, judge, blip, root, quiet, out):
    """Do a recipe with every stage as released, and with networks of the same kinds that are tiny."""
    options = load_run(recipe, [*STAND_INS, f"judge.id={judge}", f"corpus.answerer={{model: {blip}, size: 32}}"])
    run = Run(options, root, out, running=quiet)
    report = do_run(run)
    assert report.missing == 0
    assert {entry["what"] for entry in report.metrics} == {"cams", "masks", "seg"}
    assert {"corpus", "cam", "boundary", "masks", "seg", "predict-val"} <= {*report.done}
    return run


def test_a_published_recipe_runs_to_its_last_stage_with_stand_ins(judge, marked_blip_folder, fake, quiet, tmp_path):
    """The recipe of the headline number."""
    recipe = "voc2012/qa-clims-published-r38"
    run = run_with_stand_ins(recipe, judge, marked_blip_folder, fake("voc2012"), quiet, tmp_path / "run")
    [note] = read_notes(run.out)
    assert "the segmenter is deeplabv1 on test_resnet, not deeplabv2 on resnet101_caffe or deeplabv1 on wide" in note


def test_a_published_recipe_runs_with_a_checkpoint_of_ovseg(ovseg, marked_blip_folder, fake, quiet, tmp_path):
    """The judge that the paper has: prompts of masks, from a checkpoint with the released names."""
    recipe = "voc2012/qa-clims-published"
    run = run_with_stand_ins(recipe, f"ovseg:{ovseg}", marked_blip_folder, fake("voc2012"), quiet, tmp_path / "run")
    assert run.options.shared.judge.mode == "mask-prompt"
    [note] = read_notes(run.out)
    assert "the segmenter is deeplabv2 on test_resnet" in note
    assert "judge" not in note
