"""Language: question banks, answerers, lexicon, corpus, text features.

May import slides, compute, files, config, assets, registry, types and errors; never data or models. Cards are passed
as `terms.CardTerms`, judges and answerers as the protocols of `qaclims_path.types`.
"""
