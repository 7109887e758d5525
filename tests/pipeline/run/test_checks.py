"""Options that would fail later are refused before a stage begins or a result is removed."""

import re
from dataclasses import replace

import pytest

from qaclims_path.errors import QaclimsError, UsageError
from qaclims_path.pipeline.run.listing import stages_of
from qaclims_path.pipeline.run.pipeline import do_run, plan_run


def test_several_machines_are_refused(make, tmp_path):
    run = make(tmp_path / "run")
    with pytest.raises(UsageError, match=r"on one machine, not on 2.*train cam"):
        stages_of(replace(run, running=run.running.model_copy(update={"nodes": 2})))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("evaluate.splits=[train]",), "'train', which trains on image labels.*Splits with masks: val, test"),
        (("evaluate.splits=[vall]",), "no split 'vall'"),
        (("evaluate.protocol=voc",), "not scored under the protocol 'voc'"),
        (("evaluate.protocol=mlp",), "Did you mean 'mlps'"),
        (("seg.protocol=mlps",), "'seg.protocol' is mlps, but masks are made and scored for 'tissue'"),
        (("seg.split=val",), "'seg.split' is val, but the run is trained on 'train'"),
        (("seg.dataset=glas",), "'seg.dataset' is glas"),
    ],
)
def test_contradicting_options_are_refused_at_once(make, tmp_path, settings, sentence):
    with pytest.raises(UsageError, match=sentence):
        do_run(make(tmp_path / "run", *settings))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("cam.network.backbone=mobilenetv2_10", "no backbone 'mobilenetv2_10'. Did you mean mobilenetv2_1"),
        ("cam.network.side.stages=[9]", "The backbone 'test_resnet' has no stage 9"),
        ("cam.network.weights=nofile.safetensors", "The weights nofile.safetensors do not exist"),
        ("cam.network.weights=model.bin", "model.bin is not a .safetensors file"),
        ("cam.init.start=nowhere", "nowhere holds no camnet.json"),
        (f"cam.init.start={__file__}", "test_checks.py is not a .safetensors file, nor a checkpoint of torch"),
        ("masks.band=[0.9, 0.1]", "A band of doubt lies around the background threshold"),
        ("masks.threshold=cross-fitted", "Under the protocol 'tissue' maps never yield background"),
        ("masks={refiner: irn, threshold: cross-fitted}", "Thresholds are fitted on unrefined maps"),
        ("seg.network.encoder=mobilnetv2_100", "no backbone 'mobilnetv2_100'"),
        ("seg.network.weights=local-dir:nowhere", "The model folder 'nowhere' does not exist"),
    ],
)
def test_a_misspelt_setting_removes_no_result(finished, make, tmp_path, settings, sentence):
    def when_changed():
        files = (path for path in finished.rglob("*") if path.is_file() and path.name != "run.lock")
        return {path: path.stat().st_mtime_ns for path in files}

    before = when_changed()
    for out in (finished, tmp_path / "new"):
        for asked in (plan_run, do_run):
            with pytest.raises(QaclimsError, match=re.escape(sentence)):
                asked(make(out, settings))
    assert when_changed() == before
    assert not (tmp_path / "new").exists()
    assert {step.action for step in plan_run(make(finished))} == {"skip"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("judge.id=embeded", "The model folder 'embeded' does not exist"),
        ("corpus.judge.id=opn_clip:ViT@tag", "Did you mean 'open_clip'"),
        ("corpus.answerer={kind: blib}", "There is no answerer 'blib'. Did you mean 'blip'"),
    ],
)
def test_misspelt_models_are_refused_before_the_corpus(make, judge, tmp_path, settings, sentence):
    run = make(tmp_path / "run", f"judge.id={judge}", settings, recipe="phantom/qa-clims-path")
    with pytest.raises(QaclimsError, match=re.escape(sentence)):
        do_run(run)
    assert not (tmp_path / "run").exists()
