"""Options models as Python users write them: a mistake is one sentence of the package's own errors."""

import re

import pytest

from qaclims_path.engine.settings import RunSettings, TrainOptions
from qaclims_path.errors import BadConfig
from qaclims_path.pipeline.answerer.options import ProbeOptions
from qaclims_path.pipeline.cam.map_options import MapOptions
from qaclims_path.pipeline.cam.options import CamOptions
from qaclims_path.pipeline.configs import SharedOptions
from qaclims_path.pipeline.corpus.options import BuildOptions, CorpusOptions, ShowOptions
from qaclims_path.pipeline.datasets.options import FakeOptions
from qaclims_path.pipeline.evaluation.options import ScoreOptions
from qaclims_path.pipeline.inference.options import ComputeOptions, SegmentOptions
from qaclims_path.pipeline.judge.options import JudgeProbeOptions, JudgeTrainOptions
from qaclims_path.pipeline.masks.options import BoundaryOptions, MaskOptions
from qaclims_path.pipeline.segmenter.options import TrainSegOptions
from qaclims_path.pipeline.segmenter.predict_options import PredictOptions
from qaclims_path.pipeline.tiling.options import TileOptions, WorkOptions

MODELS = [
    BoundaryOptions,
    BuildOptions,
    CamOptions,
    ComputeOptions,
    CorpusOptions,
    FakeOptions,
    JudgeProbeOptions,
    JudgeTrainOptions,
    MapOptions,
    MaskOptions,
    PredictOptions,
    ProbeOptions,
    RunSettings,
    ScoreOptions,
    SegmentOptions,
    SharedOptions,
    ShowOptions,
    TileOptions,
    TrainOptions,
    TrainSegOptions,
    WorkOptions,
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_an_unknown_name_is_one_sentence_with_a_suggestion(model):
    known = next(iter(model.model_fields))
    with pytest.raises(BadConfig) as caught:
        model(**{f"{known}x": 1})
    assert str(caught.value).startswith(f"{model.__name__}: ")
    assert f"unknown key '{known}x'. Did you mean '{known}'?" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "values", "sentence"),
    [
        (ScoreOptions, {"bootstrap": -1}, "'bootstrap': Input should be greater than or equal to 0 (given: -1)."),
        (JudgeTrainOptions, {"size": 3}, "'size': Input should be greater than or equal to 32 (given: 3)."),
        (SharedOptions, {"dataset": "glas", "judge": {"chunk": 0}}, "'judge.chunk': Input should be greater than"),
        (JudgeProbeOptions, {"mode": "sofd"}, "'mode': Input should be 'soft', 'hard'"),
        (CorpusOptions, {}, "'dataset' is missing."),
        (TrainOptions, {"epochs": "many"}, "'epochs': Input should be a valid integer"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_its_place(model, values, sentence):
    with pytest.raises(BadConfig, match="^" + re.escape(f"{model.__name__}: {sentence}")):
        model(**values)
