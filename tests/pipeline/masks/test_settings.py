"""Thresholds and glass follow the protocol, where the options do not say otherwise."""

import pytest

from qaclims_path.data.cards import load_card
from qaclims_path.data.protocol import load_protocol
from qaclims_path.pipeline.masks.options import MaskOptions
from qaclims_path.pipeline.masks.settings import glass_rule, protocol_threshold

BCSS, VOC = load_card("bcss-wsss"), load_card("voc2012")


def test_thresholds_come_from_the_protocol():
    assert protocol_threshold(load_protocol("mlps"), "none") is None
    assert protocol_threshold(load_protocol("voc"), "none") == 0.15
    assert protocol_threshold(load_protocol("voc"), "irn") == 0.2
    power = load_protocol("tpro")
    threshold = protocol_threshold(power, "none")
    assert threshold == pytest.approx((1 - threshold) ** power.background_power)


@pytest.mark.parametrize(("protocol", "becomes"), [("mlps", "ignore"), ("pbip", "ignore"), ("tpro", "background")])
def test_glass_follows_the_protocol(protocol, becomes):
    rules = load_protocol(protocol)
    assert glass_rule(MaskOptions(), BCSS, rules) == becomes
    assert glass_rule(MaskOptions(glass="keep"), BCSS, rules) == "keep"
    assert glass_rule(MaskOptions(), VOC, load_protocol("voc")) == "keep"
