"""Language: question banks, answerers, lexicon, corpus, text features.

May import slides, compute, files, config, assets, registry, types and errors; never data or models. What it needs of a
card it takes as `terms.CardTerms`, and judges and answerers as the protocols of `qaclims_path.types`.
"""
