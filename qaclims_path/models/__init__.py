"""Networks: the activation-map network, methods, judges, the boundary network, segmenters.

May import slides, compute, files, config, assets, registry, types and errors; never data or language.
"""
