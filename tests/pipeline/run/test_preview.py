"""A dry run says what a run is made of, which settings decide it, and roughly what it takes."""

import json

import pytest

from qaclims_path.pipeline.run.estimate import Listed, costs_of
from qaclims_path.pipeline.run.options import load_run
from qaclims_path.pipeline.run.pipeline import plan_run
from qaclims_path.pipeline.run.preview import preview

TRAIN = {"train": Listed(images=100, classes=2.0, pixels=224 * 224)}

ENCODERS = "wideresnet38", "resnet101_caffe", "resnet101"
SAME = "seg.train.steps=20", "seg.train.epochs=2"  # of 100 images in batches of 10


@pytest.fixture
def planned(make, tmp_path):
    """The plan of a run of the phantoms, by its settings."""

    def plan(*settings, recipe="phantom/qa-clims-path"):
        run = make(tmp_path / "run", *settings, recipe=recipe)
        return preview(run, plan_run(run))

    return plan


def test_facts_name_the_settings_that_decide_them(planned):
    plan = planned("judge.id=embedded", "cam.init.start=cam")
    facts = {fact.name: fact for fact in plan.facts}
    assert facts["judge"].value == "embedded, ships with the package"
    assert facts["judge"].settings == ("judge.id",)
    assert "cam.train.epochs" in facts["maps"].settings
    assert set(plan.epochs) == {"init", "cam", "seg"}
    assert plan.images["train"] > 0
    assert plan.judge == {"id": "embedded", "place": "ships with the package"}


def test_side_heads_are_told(planned):
    [maps] = [
        fact for fact in planned("cam.network.side.stages=[2, 3]", recipe="phantom/cam").facts if fact.name == "maps"
    ]
    assert "test_resnet with heads on stages 2, 3," in maps.value
    assert "cam.network.side.stages" in maps.settings


def test_json_holds_the_expected_cost_of_every_planned_stage(planned):
    plan = json.loads(json.dumps(planned("judge.id=embedded").as_json()))
    assert {stage["stage"] for stage in plan["stages"] if "seconds" in stage} >= {"cam", "seg"}
    assert plan["expected"]["seconds"] >= sum(stage["seconds"] for stage in plan["stages"]) - 1
    assert 0 < plan["expected"]["bytes"] < plan["expected"]["free_bytes"]


def test_a_judge_that_would_be_downloaded_is_announced(planned, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert planned("judge.id=owner/name").judge["place"] == "not in the cache, will be downloaded"


def test_a_run_of_plain_maps_speaks_of_no_judge(planned):
    assert "judge" not in {fact.name for fact in planned(recipe="phantom/cam").facts}


def test_a_training_of_steps_is_described_and_counted_by_its_steps(planned):
    plan = planned("seg.train.steps=30", "seg.train.batch=4", recipe="phantom/cam")
    facts = {fact.name: fact.value for fact in plan.facts}
    assert facts["segmenter"].endswith("30 steps with 4 images a step")
    assert plan.epochs["seg"] == -(-30 * 4 // plan.images["train"])
    one, other = (seconds_of("bcss-wsss/cam", "seg.train.batch=10", given)["seg"] for given in SAME)
    assert one == pytest.approx(other)


def seconds_of(recipe, *settings):
    costs = costs_of(load_run(recipe, settings), TRAIN, 4, gpu=True)
    return {name: cost.seconds for name, cost in costs.items()}


def test_costs_grow_with_what_makes_the_work():
    plain = seconds_of("bcss-wsss/cam", "cam.train.epochs=10")
    assert seconds_of("bcss-wsss/cam", "cam.train.epochs=20")["cam"] == pytest.approx(2 * plain["cam"])
    assert seconds_of("bcss-wsss/cam", "cam.augment.size=448")["cam"] > 1.5 * plain["cam"]
    assert seconds_of("bcss-wsss/cam", "cam.network.backbone=resnet101")["cam"] > plain["cam"]
    wide, *narrow = (seconds_of("bcss-wsss/cam", f"seg.network.encoder={name}")["seg"] for name in ENCODERS)
    assert wide > 2 * max(narrow)
    judged = seconds_of("bcss-wsss/qa-clims-path", "cam.train.epochs=10", "cam.init.start=none")
    assert judged["cam"] > plain["cam"]
    assert seconds_of("bcss-wsss/cam", "masks.refiner=crf")["masks"] > plain["masks"]
