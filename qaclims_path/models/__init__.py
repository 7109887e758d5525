"""Networks: CamNet (class activation maps), methods, judges, refiners, the boundary network, segmenters.

May import slides, compute, files, config, assets, registry, types and errors; never data or language.
"""
