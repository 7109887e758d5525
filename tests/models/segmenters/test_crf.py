"""The option `crf`: names, numbers, and what is refused."""

import pytest

from qaclims_path.compute.refiners.crf_settings import AFTER_SEGMENTER, SEGMENTER, CrfSettings
from qaclims_path.errors import BadConfig
from qaclims_path.models.segmenters.crf import about_crf, find_crf
from qaclims_path.pipeline.evaluation.options import ScoreOptions
from qaclims_path.pipeline.run.options import EvaluateSection
from qaclims_path.pipeline.segmenter.predict_options import PredictOptions


def test_names_and_numbers():
    assert find_crf("none") is None
    assert find_crf("deeplabv2") is SEGMENTER
    assert find_crf("2, 3,0,50, 5,10") == CrfSettings(2, 3, 0, 50, 5, 10)
    assert {name: find_crf(name) for name in AFTER_SEGMENTER} == AFTER_SEGMENTER


def test_a_sentence_says_all_numbers():
    assert about_crf("none") == ""
    assert about_crf("2,3,0,50,5,10") == (
        "Dense CRF: rounds 2, smoothness 3 px weight 0, appearance 50 px 5 levels weight 10."
    )
    assert about_crf("deeplabv2-published").endswith("weight 4, on the picture that deeplab-pytorch casts to bytes.")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("deeplab2", "no dense CRF 'deeplab2'.*Did you mean 'deeplabv2'.*six numbers, such as 10,1,3,67,3,4"),
        ("", "no dense CRF ''"),
        ("10,1,3", "six numbers, such as 10,1,3,67,3,4: rounds"),
        ("10,1,3,67,3,4,5", "six numbers"),
        ("10.5,1,3,67,3,4", "six numbers"),
        ("10,a,3,67,3,4", "six numbers"),
        ("0,1,3,67,3,4", "takes 1 to 1000 rounds, not 0"),
        ("10000,1,3,67,3,4", "takes 1 to 1000 rounds, not 10000"),
        ("10,0,3,67,3,4", "deviations of a dense CRF are 0.1 to 1000, not 0"),
        ("10,1,3,nan,3,4", "deviations of a dense CRF are 0.1 to 1000, not nan"),
        ("10,1,-3,67,3,4", "weights of a dense CRF are 0 to 1000, not -3"),
        ("10,1,3,67,3,inf", "weights of a dense CRF are 0 to 1000, not inf"),
    ],
)
@pytest.mark.parametrize("model", [PredictOptions, EvaluateSection, ScoreOptions])
def test_wrong_ones_are_refused_in_one_sentence(model, text, sentence):
    with pytest.raises(BadConfig, match=f"'crf'.*{sentence}") as caught:
        model(crf=text)
    assert "\n" not in str(caught.value)
